import { setTimeout as sleep } from 'node:timers/promises';
import { named } from '../peers.mjs';

export const title = '10,000 idle connections, with the heartbeats of each peer';
export const reference = 'raw';
export const peers = named(
  'raw',
  'express by hand',
  'express by hand, tuned',
  'ws',
  'sse-duplex',
  'sse-duplex, tuned',
  'sse-duplex attached',
);

/** Memory is measured from the start of a server. */
export const fresh = true;

export async function prepare(testbed) {
  await testbed.grow(1); // so that what exists once per server is not counted
}

export async function round(testbed, size) {
  const count = size(10_000, 500);
  const before = await testbed.call('memory');
  await testbed.grow(count);
  const after = await testbed.call('memory');
  const cpu = await testbed.cpuOf(() => sleep(size(10_000, 1000)));
  // Afterwards, because the sampling costs more CPU than everything else here.
  await testbed.call('startDelay');
  await sleep(size(2000, 500));
  return {
    'KiB of RSS per connection': (after.rss - before.rss) / (count - 1) / 1024,
    'KiB of heap per connection': (after.heapUsed - before.heapUsed) / (count - 1) / 1024,
    'ms of CPU in 10 s': cpu / 1000 / size(1, 0.1),
    'p99 of event loop delay, ms': await testbed.call('stopDelay'),
  };
}
