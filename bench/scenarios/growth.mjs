import { cpuPerDelivery } from '../testbed.mjs';
import { named } from '../peers.mjs';

export const title =
  'One message per turn, by connections and by message size, µs of server CPU per delivery';
export const reference = 'raw';
export const peers = named('raw', 'sse-duplex');

/** Two peers with 10,000 clients each would exceed the number of files a process may open. */
export const fresh = true;

export const SIZES = { '100 B': 100, '1 KiB': 1024, '64 KiB': 65_536 };
export const COUNTS = { '100 clients': 100, '1,000 clients': 1000, '10,000 clients': 10_000 };

export async function prepare(testbed, size) {
  await testbed.grow(100);
  await cpuPerDelivery(testbed, { messages: size(1000, 30) }); // warm-up
}

export async function round(testbed, size) {
  const costs = {};
  for (const [name, bytes] of Object.entries(SIZES)) {
    const messages = bytes > 10_000 ? size(60, 5) : size(200, 20);
    costs[name] = await cpuPerDelivery(testbed, { messages, bytes });
  }
  // Garbage of the 64 KiB messages must not be collected in the measurements that follow.
  await cpuPerDelivery(testbed, { messages: size(500, 20) });
  for (const [name, count] of Object.entries(COUNTS)) {
    await testbed.grow(Math.max(100, size(count, count / 10)));
    const messages = size(Math.ceil(100_000 / count), 5);
    await cpuPerDelivery(testbed, { messages: 3 }); // the work that each connection does once
    costs[name] = await cpuPerDelivery(testbed, { messages });
  }
  return costs;
}
