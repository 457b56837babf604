import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'redis';
import { findPort, redisServer, waitUntilListening } from '../helpers/programs';
import { RedisProcess } from './redis-process';

/** A primary with one replica and three Sentinels that watch them under the name `main`. */
export class SentinelGroup {
  /** The ports of the Sentinels, separated by commas. */
  ports = '';
  readonly #folder = mkdtempSync(join(tmpdir(), 'sse-duplex-sentinel-'));
  readonly #sentinels: ChildProcess[] = [];
  readonly #primary: RedisProcess;
  readonly #replica: RedisProcess;

  private constructor(primary: RedisProcess, replica: RedisProcess) {
    this.#primary = primary;
    this.#replica = replica;
  }

  static async start(): Promise<SentinelGroup> {
    const primary = await RedisProcess.start();
    const replica = await RedisProcess.start([
      ...['--replicaof', `127.0.0.1 ${primary.port}`, '--repl-diskless-sync-delay', '0'],
    ]);
    const group = new SentinelGroup(primary, replica);
    while (!/master_link_status:up/.test(await info(replica.port))) await sleep(50);
    const ports: number[] = [];
    for (let i = 0; i < 3; i++) ports.push(await group.#startSentinel());
    // They find the replica and each other through the primary.
    for (const port of ports) {
      while (!(await group.#isReady(port))) await sleep(100);
    }
    group.ports = ports.join();
    return group;
  }

  async #startSentinel(): Promise<number> {
    const port = await findPort();
    const file = join(this.#folder, `${port}.conf`);
    writeFileSync(
      file,
      `port ${port}
bind 127.0.0.1
dir ${this.#folder}
sentinel monitor main 127.0.0.1 ${this.#primary.port} 2
sentinel down-after-milliseconds main 1000
sentinel failover-timeout main 5000
`,
    );
    this.#sentinels.push(spawn(redisServer(), [file, '--sentinel'], { stdio: 'ignore' }));
    await waitUntilListening(port);
    return port;
  }

  async #isReady(port: number): Promise<boolean> {
    const text = await info(port);
    return text.includes('slaves=1,sentinels=3');
  }

  /**
   * Kills the primary and waits until the replica is promoted.
   *
   * @param behind how long before, in milliseconds, the replica has stopped to receive what the primary writes.
   * @returns the size in bytes of the writes that are lost, because the replica lacks them.
   */
  async failOver(behind: number): Promise<number> {
    const admin = await connect(this.#primary.port);
    // The replica connects again at once, and is then refused.
    await admin.sendCommand(['ACL', 'SETUSER', 'default', '-psync', '-sync']);
    await admin.sendCommand(['CLIENT', 'KILL', 'TYPE', 'replica']);
    await sleep(behind);
    const written = readOffset(await admin.info(), 'master_repl_offset');
    admin.destroy();
    await this.#primary.kill();
    const received = readOffset(await info(this.#replica.port), 'slave_repl_offset');
    while (!(await this.#isPromoted())) await sleep(50);
    return written - received;
  }

  async #isPromoted(): Promise<boolean> {
    // Sentinel closes the connections to the server that it promotes, perhaps before this reply.
    const text = await info(this.#replica.port).catch(() => '');
    return /role:master/.test(text);
  }

  async stop(): Promise<void> {
    for (const sentinel of this.#sentinels) {
      const exit = once(sentinel, 'exit');
      sentinel.kill('SIGKILL');
      await exit;
    }
    await this.#replica.remove();
    await this.#primary.remove();
    rmSync(this.#folder, { recursive: true });
  }
}

async function connect(port: number) {
  const client = createClient({ url: `redis://127.0.0.1:${port}` });
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function info(port: number): Promise<string> {
  const client = await connect(port);
  try {
    return await client.info();
  } finally {
    client.destroy();
  }
}

/** Returns how many bytes of the replication stream a server has written or received. */
function readOffset(text: string, name: string): number {
  const [, offset] = new RegExp(`${name}:(\\d+)`).exec(text) ?? [];
  if (offset === undefined) throw new Error(`no ${name} in ${text}`);
  return Number(offset);
}
