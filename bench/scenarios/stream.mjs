import { cpuPerDelivery } from '../field.mjs';
import { peers } from '../peers.mjs';

export const title = 'One connection, 100 messages a turn, µs of server CPU per message';
export const reference = 'raw';
export { peers };

export async function prepare(field) {
  await field.grow(1);
}

export async function round(field, size) {
  return {
    'down the stream': await cpuPerDelivery(field, { messages: size(100_000, 2000), perTurn: 100 }),
  };
}
