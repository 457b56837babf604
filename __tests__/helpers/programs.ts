import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A server in a child process. */
export interface Program {
  port: number;
  /** Ends it, unless it has ended. The default signal is SIGTERM. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/**
 * Returns the path if the program exists.
 *
 * @throws Error that names the Debian package to install.
 */
export function requireProgram(path: string, debianPackage: string): string {
  if (!existsSync(path)) {
    throw new Error(`these tests need ${path}: apt-get install ${debianPackage}`);
  }
  return path;
}

/** Returns the path of the server that the tests use as Redis: Debian's, or that in the variable REDIS_SERVER. */
export function redisServer(): string {
  return requireProgram(process.env.REDIS_SERVER ?? '/usr/bin/redis-server', 'redis-server');
}

/**
 * Starts a server on a free port and waits until it listens.
 *
 * @throws Error with the output of the program if it exits before.
 */
export async function startProgram(
  path: string,
  toArguments: (port: number) => string[],
  toEnvironment: (port: number) => NodeJS.ProcessEnv = () => ({}),
): Promise<Program> {
  const port = await findPort();
  const env = { ...process.env, ...toEnvironment(port) };
  const child = spawn(path, toArguments(port), { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let output = '';
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exit = once(child, 'exit');
  while (!(await isListening(port))) {
    if (child.exitCode !== null) throw new Error(`${path} ended with ${child.exitCode}: ${output}`);
    await sleep(10);
  }
  return {
    port,
    async stop(signal) {
      child.kill(signal);
      await exit;
    },
  };
}

/** Returns a free port below the range from which the system assigns ports. */
export async function findPort(): Promise<number> {
  const port = randomInt(20_000, 32_768);
  const probe = createServer().listen(port, '127.0.0.1');
  try {
    await once(probe, 'listening');
  } catch {
    return findPort();
  }
  probe.close();
  await once(probe, 'close');
  return port;
}

/** Resolves when a server accepts connections on the port. */
export async function waitUntilListening(port: number): Promise<void> {
  while (!(await isListening(port))) await sleep(10);
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
