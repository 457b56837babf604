import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SseClient } from '../../lib/client/index';
import { httpFetch } from '../helpers/http-fetch';
import { startProcess } from '../helpers/processes';
import { waitFor } from '../helpers/wait-for';

export interface StopOptions {
  clients: number;
  drainTimeout: number;
  reconnectJitter: number;
}

export interface StopReport {
  /** Milliseconds from SIGTERM to the exit of the process, and its exit code. */
  exitAfter: number;
  exitCode: number | null;
  /** Number of clients that did not receive the server's last message. */
  lostDown: number;
  /** Number of messages from clients that were neither delivered nor reported. */
  lostUp: number;
  /** Number of messages that were reported as unacknowledged. */
  unacknowledged: number;
  /** For each client, milliseconds from SIGTERM to the opening of its session on the next server. */
  returns: number[];
  /** The clients' `close` events, of which there must be none. */
  ends: string[];
}

/**
 * Shuts down a server with many clients while the next one already runs. The clients' `fetch` acts as a
 * load balancer with sticky sessions: it sends each request to the server of its session.
 */
export async function runStop(options: StopOptions): Promise<StopReport> {
  const { clients: count, drainTimeout, reconnectJitter } = options;
  const folder = mkdtempSync(join(tmpdir(), 'sse-duplex-'));
  const entry = '__tests__/delivery/processes/server.ts';
  const settings = JSON.stringify({ drainTimeout, reconnectJitter });
  const file = join(folder, 'delivered');
  const { process: first, ready: firstPort } = await startProcess(entry, [0, file, settings, 500]);
  const { process: next, ready: nextPort } = await startProcess(entry, [0, file, settings, 500]);

  const ports = new Map<string, unknown>();
  let newest = firstPort;
  // All clients share one process, which is too slow to open a socket for each POST.
  const agents = {
    GET: new Agent(),
    POST: new Agent({ keepAlive: true, maxSockets: 50 }),
  };
  const fetch = (url: string, init: RequestInit) => {
    const target = new URL(url);
    const session = target.searchParams.get('sseClientId')!;
    if (!ports.has(session)) ports.set(session, newest);
    target.port = String(ports.get(session));
    return httpFetch(target.href, init, { agent: agents[init.method === 'POST' ? 'POST' : 'GET'] });
  };

  const ends: string[] = [];
  const opened: number[] = [];
  let unacknowledgedCount = 0;
  const receivedLast = new Set<number>();
  const clients = Array.from({ length: count }, (_, index) => {
    const client = new SseClient<unknown>('http://127.0.0.1/sse', { fetch });
    client.onerror = () => {}; // the faults are expected
    client.onopen = () => opened.push(Date.now());
    client.onmessage = ({ data }) => {
      if (data === 'last') receivedLast.add(index);
    };
    client.onsessionlost = ({ unacknowledged }) => (unacknowledgedCount += unacknowledged.length);
    client.onclose = ({ code, reason }) => ends.push(`${code} ${reason}`);
    return client;
  });
  try {
    await waitFor(
      () => opened.length === count,
      60_000,
      () => `${opened.length} of ${count} clients`,
    );
    clients.forEach((client, index) => client.send(index));
    const start = Date.now();
    newest = nextPort;
    const exit = once(first, 'exit') as Promise<[number | null]>;
    first.kill('SIGTERM');
    const [exitCode] = await exit;
    const exitAfter = Date.now() - start;
    await waitFor(
      () => opened.length === 2 * count,
      60_000,
      () => `${opened.length - count} of ${count} clients to reconnect`,
    );
    const delivered = new Set(readFileSync(file, 'utf8').trim().split('\n').map(Number));
    return {
      exitAfter,
      exitCode,
      lostDown: count - receivedLast.size,
      lostUp: count - delivered.size - unacknowledgedCount,
      unacknowledged: unacknowledgedCount,
      returns: opened.slice(count).map((at) => at - start),
      ends: [...ends],
    };
  } finally {
    for (const client of clients) client.close();
    first.kill('SIGKILL');
    next.kill('SIGTERM');
    await waitFor(() => clients.every(({ readyState }) => readyState === SseClient.CLOSED), 20_000);
    next.kill('SIGKILL');
    agents.POST.destroy();
    rmSync(folder, { recursive: true });
  }
}

/** Returns the largest number of reconnections within one interval, divided by the mean. */
export function peakToMean(returns: number[], interval: number): number {
  const counts = new Map<number, number>();
  for (const at of returns) {
    const index = Math.floor(at / interval);
    counts.set(index, (counts.get(index) ?? 0) + 1);
  }
  const indexes = [...counts.keys()];
  const mean = returns.length / (Math.max(...indexes) - Math.min(...indexes) + 1);
  return Math.max(...counts.values()) / mean;
}
