import { now } from '../clock.mjs';
import { cpuPerDelivery } from '../testbed.mjs';
import { named } from '../peers.mjs';
import { median } from '../statistics.mjs';

export const title =
  '10,000 connections, 10 messages of 100 B per second to each for 3 s, or as many as the peer can send';
export const reference = 'raw';
export const peers = named('raw', 'ws', 'sse-duplex', 'sse-duplex attached');

/** Two peers with 10,000 clients each would exceed the number of files a process may open. */
export const fresh = true;

const PACE = { interval: 100, perTurn: 1, bytes: 100 };

export async function prepare(testbed, size) {
  await testbed.grow(size(10_000, 1000));
  await cpuPerDelivery(testbed, { messages: 5, pause: 100 }); // warm-up
}

export async function round(testbed, size) {
  const turns = size(30, 10);
  const completeAt = watchArrivals(testbed.clients);
  let sentAt;
  const start = now();
  const cpu = await testbed.cpuOf(async () => {
    sentAt = await testbed.call('pace', { turns, ...PACE });
    await testbed.arrival(sentAt.length * testbed.clients.length);
  });
  const lasted = now() - start;
  const duration = Math.max(turns * PACE.interval, completeAt.at(-1) - sentAt[0]);
  const late = completeAt.map((at, turn) => at - sentAt[turn]);
  return {
    'deliveries per second': ((sentAt.length * testbed.clients.length) / duration) * 1000,
    'server CPU, % of a core': (cpu / 1000 / lasted) * 100,
    'until all clients have a message, median, ms': median(late),
    'until all clients have a message, maximum, ms': Math.max(...late),
  };
}

/** Records when the last client received each message. */
function watchArrivals(clients) {
  const copies = [];
  const completeAt = [];
  for (const client of clients) {
    let index = 0;
    client.onArrival = (count) => {
      for (; count > 0; count--, index++) {
        copies[index] = (copies[index] ?? 0) + 1;
        if (copies[index] === clients.length) completeAt[index] = now();
      }
    };
  }
  return completeAt;
}
