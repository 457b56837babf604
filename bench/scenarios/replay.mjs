import { unacknowledged } from '../peers.mjs';

export const title =
  '1,000 unacknowledged messages, all replayed on a resumed stream, µs of server CPU per message';
export const reference = 'raw';
export const peers = unacknowledged;

const KEPT = 1000;

export async function prepare(testbed) {
  await testbed.grow(1);
  await testbed.call('broadcast', { messages: KEPT, perTurn: 100 });
  await testbed.arrival(KEPT);
}

export async function round(testbed, size) {
  const times = size(30, 5);
  const cpu = await testbed.cpuOf(async () => {
    for (let i = 0; i < times; i++) {
      await testbed.clients[0].resume();
      await testbed.arrival(KEPT);
    }
  });
  return { replayed: cpu / times / KEPT };
}
