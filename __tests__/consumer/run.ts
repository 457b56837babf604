import { execFile } from 'node:child_process';

/** How a program has ended, and what it has printed. */
export interface Run {
  /** The exit code, or the signal that has stopped it. */
  code: unknown;
  stdout: string;
  stderr: string;
}

/** Options of npm for an installation: what is in its cache is not requested again. */
export const QUICKLY = ['--no-audit', '--no-fund', '--prefer-offline', '--fetch-retries=1'];

/** Longest time that an installation may take, in milliseconds. */
export const INSTALL_TIME = 240_000;

/**
 * Returns the environment without colours, and without the variables that jest and `npm run` set: the
 * npm that a test starts would take those of `npm run` as its own configuration.
 */
export function plainEnvironment(): NodeJS.ProcessEnv {
  const variables = Object.entries(process.env);
  const isOwn = (name: string) =>
    !/^(FORCE_COLOR|NODE_ENV|NODE_OPTIONS|JEST_.*|npm_.*)$/i.test(name);
  return { ...Object.fromEntries(variables.filter(([name]) => isOwn(name))), NO_COLOR: '1' };
}

/** Runs a program until it ends. After the timeout it is stopped, and the code is the signal. */
export function run(
  command: string,
  args: string[],
  cwd: string,
  timeout: number,
  variables: NodeJS.ProcessEnv = {},
): Promise<Run> {
  const env = { ...plainEnvironment(), ...variables };
  return new Promise((ended) => {
    execFile(command, args, { cwd, env, timeout }, (error, stdout, stderr) =>
      ended({ code: error ? (error.code ?? error.signal) : 0, stdout, stderr }),
    );
  });
}

/** Runs a program, and returns what it has printed. Rejects if it fails. */
export async function runToEnd(
  command: string,
  args: string[],
  cwd: string,
  timeout: number,
  variables?: NodeJS.ProcessEnv,
): Promise<string> {
  const { code, stdout, stderr } = await run(command, args, cwd, timeout, variables);
  if (code === 0) return stdout;
  throw new Error(`"${command} ${args.join(' ')}" ended with ${String(code)}:\n${stdout}${stderr}`);
}

/** Runs npm, and returns what it has printed. */
export async function npm(cwd: string, ...args: string[]): Promise<string> {
  try {
    return await runToEnd('npm', args, cwd, INSTALL_TIME);
  } catch (error) {
    throw new Error('these tests install packages, so they need the npm registry', {
      cause: error,
    });
  }
}

/** Packs the working copy as it is now, after `npm run build`. Returns the path of the tarball. */
export async function pack(root: string, folder: string): Promise<string> {
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder];
  const [{ filename }] = JSON.parse(await npm(root, ...args)) as [{ filename: string }];
  return `${folder}/${filename}`;
}
