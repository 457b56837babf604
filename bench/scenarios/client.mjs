import { setImmediate as nextTurn } from 'node:timers/promises';
import { makeMessage } from '../message.mjs';
import { named, ownClient } from '../peers.mjs';

export const title = 'One client in Node, 100 messages a turn, and the client’s own CPU';
export const reference = 'socket.io websocket';
export const peers = { ...named('socket.io websocket'), 'sse-duplex/client': ownClient };

const PER_TURN = 100;

export async function prepare(field) {
  await field.grow(1);
}

export async function round(field, size) {
  const messages = size(20_000, 2000);
  const [client] = field.clients;

  const taking = await measure(messages, async () => {
    await field.call('broadcast', { messages, perTurn: PER_TURN });
    await field.arrival(messages);
  });
  const { received } = await field.call('sample');
  const sending = await measure(messages, async () => {
    for (let n = 0; n < messages; n++) {
      void client.send(makeMessage(n));
      if (n % PER_TURN === 0) await nextTurn();
    }
    await field.call('until', { name: 'received', value: received + messages });
  });
  return {
    'taken per second': taking.rate,
    'µs of CPU to take': taking.cpu,
    'sent per second': sending.rate,
    'µs of CPU to send': sending.cpu,
  };
}

async function measure(messages, work) {
  const start = performance.now();
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return { rate: (messages / (performance.now() - start)) * 1000, cpu: (user + system) / messages };
}
