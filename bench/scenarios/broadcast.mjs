import { cpuPerDelivery } from '../testbed.mjs';
import { peers as all } from '../peers.mjs';

export const title = 'One message to 1,000 clients, µs of server CPU per delivery';
export const reference = 'raw';

// A thousand polling clients keep this process busy for seconds with each message.
const { 'socket.io polling': _, ...others } = all;
export const peers = others;

export async function prepare(testbed, size) {
  await testbed.grow(size(1000, 100));
}

export async function round(testbed, size) {
  return {
    'one per turn': await cpuPerDelivery(testbed, { messages: size(60, 10) }),
    'ten per turn': await cpuPerDelivery(testbed, { messages: size(400, 50), perTurn: 10 }),
    'one per 100 ms': await cpuPerDelivery(testbed, { messages: size(20, 3), pause: 100 }),
  };
}
