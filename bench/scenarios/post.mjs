import { makeMessage } from '../message.mjs';
import { named } from '../peers.mjs';

export const title = '20 clients, one message per POST (or frame), µs of server CPU per message';
export const reference = 'raw';
export const peers = named(
  'raw',
  'express by hand',
  'express by hand, tuned',
  'mcp sse',
  'sockjs eventsource',
  'ws',
  'socket.io websocket',
  'sse-duplex',
  'sse-duplex, tuned',
  'sse-duplex attached',
);

export async function prepare(testbed) {
  await testbed.grow(20);
}

export async function round(testbed, size) {
  const each = size(600, 20);
  const messages = each * testbed.clients.length;
  const { received } = await testbed.call('sample');
  const cpu = await testbed.cpuOf(async () => {
    await Promise.all(
      testbed.clients.map(async (client) => {
        for (let n = 0; n < each; n++) await client.send(makeMessage(n));
      }),
    );
    await testbed.call('waitFor', { name: 'received', value: received + messages });
  });
  return { 'client to server': cpu / messages };
}
