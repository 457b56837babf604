import { now } from '../clock.mjs';
import { cpuPerDelivery } from '../testbed.mjs';
import { named } from '../peers.mjs';
import { median } from '../statistics.mjs';

export const title =
  '10,000 connections, to each 10 messages of 100 B a second for 3 s, or as many as are managed';
export const reference = 'raw';
export const peers = named('raw', 'ws', 'sse-duplex', 'sse-duplex attached');

/** Two peers with 10,000 clients at a time are more than a process may have open. */
export const fresh = true;

const PACE = { interval: 100, perTurn: 1, bytes: 100 };

export async function prepare(testbed, size) {
  await testbed.grow(size(10_000, 1000));
  await cpuPerDelivery(testbed, { messages: 5, pause: 100 }); // warm
}

export async function round(testbed, size) {
  const turns = size(30, 10);
  const wholeAt = watchArrivals(testbed.clients);
  let sentAt;
  const start = now();
  const cpu = await testbed.cpuOf(async () => {
    sentAt = await testbed.call('pace', { turns, ...PACE });
    await testbed.arrival(sentAt.length * testbed.clients.length);
  });
  const lasted = now() - start;
  const taken = Math.max(turns * PACE.interval, wholeAt.at(-1) - sentAt[0]);
  const late = wholeAt.map((at, turn) => at - sentAt[turn]);
  return {
    'deliveries a second': ((sentAt.length * testbed.clients.length) / taken) * 1000,
    'server CPU, % of a core': (cpu / 1000 / lasted) * 100,
    'until all had a message, median, ms': median(late),
    'until all had a message, worst, ms': Math.max(...late),
  };
}

/** Notes when the last client had each message. */
function watchArrivals(clients) {
  const copies = [];
  const wholeAt = [];
  for (const client of clients) {
    let taken = 0;
    client.onArrival = (count) => {
      for (; count > 0; count--, taken++) {
        copies[taken] = (copies[taken] ?? 0) + 1;
        if (copies[taken] === clients.length) wholeAt[taken] = now();
      }
    };
  }
  return wholeAt;
}
