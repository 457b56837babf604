import { makeMessage } from '../message.mjs';
import { named } from '../peers.mjs';

export const title = '20 clients, one message a POST (or frame), µs of server CPU per message';
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

export async function prepare(field) {
  await field.grow(20);
}

export async function round(field, size) {
  const each = size(600, 20);
  const messages = each * field.clients.length;
  const { received } = await field.call('sample');
  const cpu = await field.cpuOf(async () => {
    await Promise.all(
      field.clients.map(async (client) => {
        for (let n = 0; n < each; n++) await client.send(makeMessage(n));
      }),
    );
    await field.call('until', { name: 'received', value: received + messages });
  });
  return { 'up to the server': cpu / messages };
}
