import { PassThrough } from 'node:stream';
import { main } from '../../lib/cli/main';
import { onTestFinished } from '../helpers/on-test-finished';
import { waitFor } from '../helpers/wait-for';

/** A command that runs in this process, with streams of the test. */
export interface RunningCommand {
  stdin: PassThrough;
  stdout: PassThrough;
  /** What it has printed so far. */
  readonly out: string;
  readonly err: string;
  interrupt(): void;
  exitCode: Promise<number>;
  /** Resolves when the standard output contains a text. */
  prints(text: string): Promise<void>;
  /** Resolves when the standard error output contains a text. */
  says(text: string): Promise<void>;
}

/** Starts a command. At the end of the test it is interrupted. */
export function startCommand(args: string[], { isTerminal = false } = {}): RunningCommand {
  const stdin = new PassThrough();
  const stdout = Object.assign(new PassThrough(), { isTTY: isTerminal });
  const stderr = new PassThrough();
  const interruption = new AbortController();
  let out = '';
  let err = '';
  stdout.on('data', (text: Buffer) => (out += text.toString()));
  stderr.on('data', (text: Buffer) => (err += text.toString()));
  const io = { stdin, stdout, stderr, signal: interruption.signal };
  const exitCode = main(args, '1.2.3', io);
  onTestFinished(async () => {
    interruption.abort();
    await exitCode;
  });
  return {
    stdin,
    stdout,
    get out() {
      return out;
    },
    get err() {
      return err;
    },
    interrupt: () => interruption.abort(),
    exitCode,
    prints: (text) =>
      waitFor(
        () => out.includes(text),
        20_000,
        () => out,
      ),
    says: (text) =>
      waitFor(
        () => err.includes(text),
        20_000,
        () => err,
      ),
  };
}

/** Runs a command to its end. */
export async function runCommand(...args: string[]) {
  const command = startCommand(args);
  const code = await command.exitCode;
  return { code, out: command.out, err: command.err };
}
