import { cpuPerDelivery } from '../testbed.mjs';
import { peers } from '../peers.mjs';

export const title = 'One connection, 100 messages per turn, µs of server CPU per message';
export const reference = 'raw';
export { peers };

export async function prepare(testbed) {
  await testbed.grow(1);
}

export async function round(testbed, size) {
  return {
    'server to client': await cpuPerDelivery(testbed, {
      messages: size(100_000, 2000),
      perTurn: 100,
    }),
  };
}
