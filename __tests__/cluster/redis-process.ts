import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findPort, redisServer, waitUntilListening } from '../helpers/programs';

/** A Redis that can be killed, stopped and started again on the same port. */
export class RedisProcess {
  readonly port: number;
  readonly #folder = mkdtempSync(join(tmpdir(), 'sse-duplex-redis-'));
  readonly #args: string[];
  #child: ChildProcess | undefined;

  private constructor(port: number, args: string[]) {
    this.port = port;
    this.#args = args;
  }

  /** @param args more arguments, for example `['--appendonly', 'yes', '--appendfsync', 'always']`. */
  static async start(args: string[] = []): Promise<RedisProcess> {
    const redis = new RedisProcess(await findPort(), args);
    await redis.start();
    return redis;
  }

  async start(): Promise<void> {
    this.#child = spawn(
      redisServer(),
      [
        ...['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.#folder],
        ...['--save', '', '--loglevel', 'warning', ...this.#args],
      ],
      { stdio: 'ignore' },
    );
    await waitUntilListening(this.port);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Ends the process at once. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  /** Ends the process and deletes its files. */
  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true });
  }
}
