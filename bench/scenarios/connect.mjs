import { named } from '../peers.mjs';

export const title = 'Clients that connect and disconnect, 50 at a time';
export const reference = 'raw';
export const peers = named(
  'raw',
  'express by hand',
  'express by hand, tuned',
  'better-sse',
  'mcp sse',
  'ws',
  'socket.io websocket',
  'socket.io polling',
  'sse-duplex',
  'sse-duplex, tuned',
  'sse-duplex attached',
);

export async function prepare() {}

export async function round(testbed, size) {
  const count = size(400, 50);
  let time = 0;
  const opening = await testbed.cpuOf(async () => {
    const start = performance.now();
    await testbed.grow(count);
    time = performance.now() - start;
  });
  const closing = await testbed.cpuOf(() => testbed.empty());
  return {
    'opened per second': (count / time) * 1000,
    'µs of server CPU to open': opening / count,
    'µs of server CPU to close': closing / count,
  };
}
