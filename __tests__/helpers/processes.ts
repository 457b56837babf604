import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { buildSync } from 'esbuild';

let count = 0;

/** A TypeScript file that was compiled, for several processes. */
export interface CompiledProcess {
  /** Runs the file in a child process and waits for its first message, which is returned as `ready`. */
  start(args?: unknown[], execArgv?: string[]): Promise<{ process: ChildProcess; ready: unknown }>;
  /** Deletes the file. Processes that run are not affected. */
  remove(): void;
}

/** @param entry path of the file from the project's root. */
export function compileProcess(entry: string): CompiledProcess {
  // In this folder Node finds the packages that are not bundled.
  const folder = resolve('node_modules/.cache/sse-duplex', `${process.pid}-${count++}`);
  const outfile = join(folder, 'process.js');
  buildSync({
    entryPoints: [resolve(entry)],
    outfile,
    bundle: true,
    platform: 'node',
    packages: 'external',
    define: { SSE_CLIENT_SCRIPT: '""' },
  });
  return {
    async start(args = [], execArgv = []) {
      const child = fork(outfile, args.map(String), { execArgv });
      const [ready] = (await once(child, 'message')) as [unknown];
      return { process: child, ready };
    },
    remove: () => rmSync(folder, { recursive: true }),
  };
}

/**
 * Runs a TypeScript file in a child process and waits for its first message, which is returned as `ready`.
 *
 * @param entry path of the file from the project's root.
 */
export async function startProcess(
  entry: string,
  args: unknown[] = [],
  execArgv: string[] = [],
): Promise<{ process: ChildProcess; ready: unknown }> {
  const compiled = compileProcess(entry);
  try {
    return await compiled.start(args, execArgv);
  } finally {
    compiled.remove();
  }
}
