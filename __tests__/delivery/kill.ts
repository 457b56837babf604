import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SseClient } from '../../lib/client/index';
import { startProcess } from '../helpers/processes';
import { createRandom } from '../helpers/random';
import { waitFor } from '../helpers/wait-for';

export interface KillReport {
  seed: number;
  sent: number;
  delivered: number[];
  /** The lists of the `sessionlost` events and of `close`. */
  unacknowledged: number[][];
  /** Messages that were neither delivered nor reported as unacknowledged. */
  silentlyLost: number[];
  /** Number of messages that were delivered and reported, because only the response was lost. */
  deliveredAndReported: number;
  /** Pairs of consecutive messages from the server that are not in order. */
  disorder: unknown[];
}

/** Repeatedly kills a server during traffic in both directions and starts the next one. */
export async function runKills(seed: number, kills: number): Promise<KillReport> {
  const random = createRandom(seed);
  const folder = mkdtempSync(join(tmpdir(), 'sse-duplex-'));
  const file = join(folder, 'delivered');
  const options = JSON.stringify({ heartbeatInterval: 200 });
  const start = (port: unknown) =>
    startProcess('__tests__/delivery/processes/server.ts', [port, file, options, 20]);

  const { process: first, ready: port } = await start(0);
  let child = first;
  const client = new SseClient<number, number>(`http://127.0.0.1:${String(port)}/sse`, {
    backoff: (attempt) => Math.min(100, 5 * 2 ** attempt),
  });
  const unacknowledged: number[][] = [];
  const disorder: unknown[] = [];
  let opened = 0;
  client.onopen = () => opened++;
  let last = -1;
  client.onerror = () => {}; // the faults are expected
  client.onmessage = ({ data }) => {
    if (last >= 0 && data !== last + 1) disorder.push([last, data]);
    last = data;
  };
  client.onsessionlost = (event) => {
    unacknowledged.push(event.unacknowledged);
    last = -1;
  };
  const closed = new Promise<void>((resolve) => {
    client.onclose = (event) => {
      unacknowledged.push(event.unacknowledged);
      resolve();
    };
  });

  let sent = 0;
  const stopSending = new AbortController();
  const sending = (async () => {
    while (!stopSending.signal.aborted) {
      for (let burst = random.integer(1, 20); burst > 0; burst--) client.send(sent++);
      await sleep(random.integer(0, 10));
      // Respects back-pressure, as an application should.
      await waitFor(() => client.bufferedAmount < 10_000, 30_000);
    }
  })();
  try {
    for (let kill = 0; kill < kills; kill++) {
      await waitFor(() => opened > kill && client.bufferedAmount < 10_000, 10_000);
      await sleep(random.integer(0, 300));
      child.kill('SIGKILL');
      await once(child, 'exit');
      ({ process: child } = await start(port));
    }
    await waitFor(() => opened > kills, 10_000);
    stopSending.abort();
    await sending;
    client.close();
    await closed;
  } finally {
    stopSending.abort();
    child.kill('SIGKILL');
  }
  const delivered = readFileSync(file, 'utf8').trim().split('\n').map(Number);
  rmSync(folder, { recursive: true });
  const known = new Set([...delivered, ...unacknowledged.flat()]);
  const silentlyLost = Array.from({ length: sent }, (_, index) => index).filter(
    (index) => !known.has(index),
  );
  const deliveredAndReported = delivered.length + unacknowledged.flat().length - known.size;
  return { seed, sent, delivered, unacknowledged, silentlyLost, deliveredAndReported, disorder };
}
