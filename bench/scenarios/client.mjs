import { setImmediate as nextTurn } from 'node:timers/promises';
import { makeMessage } from '../message.mjs';
import { named, ownClient } from '../peers.mjs';

export const title = 'One client in Node, 100 messages per turn, with the CPU time of the client';
export const reference = 'socket.io websocket';
export const peers = { ...named('socket.io websocket'), 'sse-duplex/client': ownClient };

const PER_TURN = 100;

export async function prepare(testbed) {
  await testbed.grow(1);
}

export async function round(testbed, size) {
  const messages = size(20_000, 2000);
  const [client] = testbed.clients;

  const receiving = await measure(messages, async () => {
    await testbed.call('broadcast', { messages, perTurn: PER_TURN });
    await testbed.arrival(messages);
  });
  const { received } = await testbed.call('sample');
  const sending = await measure(messages, async () => {
    for (let n = 0; n < messages; n++) {
      void client.send(makeMessage(n));
      if (n % PER_TURN === 0) await nextTurn();
    }
    await testbed.call('waitFor', { name: 'received', value: received + messages });
  });
  return {
    'received per second': receiving.rate,
    'µs of CPU to receive': receiving.cpu,
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
