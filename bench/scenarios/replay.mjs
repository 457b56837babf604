import { unconfirmed } from '../peers.mjs';

export const title =
  '1,000 messages kept, all replayed on a resumed stream, µs of server CPU per message';
export const reference = 'raw';
export const peers = unconfirmed;

const KEPT = 1000;

export async function prepare(field) {
  await field.grow(1);
  await field.call('broadcast', { messages: KEPT, perTurn: 100 });
  await field.arrival(KEPT);
}

export async function round(field, size) {
  const times = size(30, 5);
  const cpu = await field.cpuOf(async () => {
    for (let i = 0; i < times; i++) {
      await field.clients[0].resume();
      await field.arrival(KEPT);
    }
  });
  return { replayed: cpu / times / KEPT };
}
