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
  /** Milliseconds from SIGTERM to the process's end, and how it ended. */
  exitAfter: number;
  exitCode: number | null;
  /** Clients that did not get the server's last message. */
  lostDown: number;
  /** Clients' last messages that were neither delivered nor named. */
  lostUp: number;
  /** Those that were named in `unacknowledged`. */
  named: number;
  /** Of each client: milliseconds from SIGTERM to its session in the next instance. */
  returns: number[];
  /** Ends and failures that the clients were told of, beside the one. */
  ends: string[];
}

/**
 * Stops a server that many clients are on, while the next instance serves already. Before them is a load
 * balancer with sticky sessions: what belongs to a session goes where it was opened.
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
  // A process of so many clients is slower than they would be: it must not open a socket a POST.
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
  let named = 0;
  const got = new Set<number>();
  const clients = Array.from({ length: count }, (_, index) => {
    const client = new SseClient<unknown>('http://127.0.0.1/sse', { fetch });
    client.onopen = () => opened.push(Date.now());
    client.onmessage = ({ data }) => {
      if (data === 'last') got.add(index);
    };
    client.onsessionlost = ({ unacknowledged }) => (named += unacknowledged.length);
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
      () => `${opened.length - count} of ${count} to come back`,
    );
    const delivered = new Set(readFileSync(file, 'utf8').trim().split('\n').map(Number));
    return {
      exitAfter,
      exitCode,
      lostDown: count - got.size,
      lostUp: count - delivered.size - named,
      named,
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
