import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SseClient } from '../../lib/client/index';
import { startProcess } from '../helpers/processes';
import { until } from '../helpers/until';

export interface StopOptions {
  clients: number;
  drainTimeout: number;
  reconnectSpread: number;
}

export interface StopReport {
  /** Milliseconds from SIGTERM to the process's end, and how it ended. */
  exitAfter: number;
  exitCode: number | null;
  /** Clients that did not get the server's last message. */
  lostDown: number;
  /** Clients' last messages that were neither delivered nor named. */
  lostUp: number;
  /** Those that were named in `undelivered`. */
  named: number;
  /** Of each client: milliseconds from SIGTERM to its session in the next instance. */
  returns: number[];
  /** Ends and failures that the clients were told of, beside the one. */
  ends: string[];
}

/** Stops a server that many clients are on, and starts the next instance on its port. */
export async function runStop(options: StopOptions): Promise<StopReport> {
  const { clients: count, drainTimeout, reconnectSpread } = options;
  const folder = mkdtempSync(join(tmpdir(), 'sse-duplex-'));
  const entry = '__tests__/delivery/processes/server.ts';
  const settings = JSON.stringify({ drainTimeout, reconnectSpread });
  const file = join(folder, 'delivered');
  const { process: first, ready: port } = await startProcess(entry, [0, file, settings, 500]);
  const { process: next } = await startProcess(entry, [port, file, settings, 500, 'next']);
  const returns: number[] = [];
  next.on('message', (at: number) => {
    if (at !== port) returns.push(at);
  });

  const ends: string[] = [];
  let opened = 0;
  let named = 0;
  const got = new Set<number>();
  const clients = Array.from({ length: count }, (_, index) => {
    const client = new SseClient<unknown>(`http://127.0.0.1:${String(port)}/sse`);
    client.onopen = () => opened++;
    client.onmessage = ({ data }) => {
      if (data === 'last') got.add(index);
    };
    client.onreset = ({ undelivered }) => (named += undelivered.length);
    client.onclose = ({ code, reason }) => ends.push(`${code} ${reason}`);
    return client;
  });
  try {
    await until(
      () => opened === count,
      60_000,
      () => `${opened} of ${count} clients`,
    );
    clients.forEach((client, index) => client.send(index));
    const start = Date.now();
    const exit = once(first, 'exit') as Promise<[number | null]>;
    first.kill('SIGTERM');
    const [exitCode] = await exit;
    const exitAfter = Date.now() - start;
    next.send('listen');
    await until(
      () => returns.length === count,
      60_000,
      () => `${returns.length} to come back`,
    );
    const delivered = new Set(readFileSync(file, 'utf8').trim().split('\n').map(Number));
    return {
      exitAfter,
      exitCode,
      lostDown: count - got.size,
      lostUp: count - delivered.size - named,
      named,
      returns: returns.map((at) => at - start),
      ends: [...ends],
    };
  } finally {
    for (const client of clients) client.close();
    first.kill('SIGKILL');
    next.kill('SIGTERM');
    await until(() => clients.every(({ readyState }) => readyState === SseClient.CLOSED), 20_000);
    next.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  }
}

/** Most that came back within one part of the time, as a multiple of the mean. */
export function peakToMean(returns: number[], part: number): number {
  const parts = new Map<number, number>();
  for (const at of returns) {
    const index = Math.floor(at / part);
    parts.set(index, (parts.get(index) ?? 0) + 1);
  }
  const indexes = [...parts.keys()];
  const mean = returns.length / (Math.max(...indexes) - Math.min(...indexes) + 1);
  return Math.max(...parts.values()) / mean;
}
