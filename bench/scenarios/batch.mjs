import { makeMessage } from '../message.mjs';
import { named, ownClient } from '../peers.mjs';

export const title =
  '10 real clients, each sending bursts of 32 messages, µs of server CPU per message';
export const reference = 'ws';
export const peers = {
  ...named('ws', 'socket.io websocket'),
  'sse-duplex with its client': ownClient,
};

const BURST = 32;

export async function prepare(testbed) {
  await testbed.grow(10);
}

export async function round(testbed, size) {
  const bursts = size(240, 10);
  let { received } = await testbed.call('sample');
  const cpu = await testbed.cpuOf(async () => {
    for (let burst = 0; burst < bursts; burst++) {
      for (const client of testbed.clients) {
        for (let n = 0; n < BURST; n++) void client.send(makeMessage(n));
      }
      received += BURST * testbed.clients.length;
      await testbed.call('waitFor', { name: 'received', value: received });
    }
  });
  return { 'client to server': cpu / (bursts * BURST * testbed.clients.length) };
}
