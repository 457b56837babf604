import { makeMessage } from '../message.mjs';
import { duplex, eventStream } from '../clients/event-stream.mjs';
import { socketIo } from '../clients/socket.io.mjs';
import { cpuPerDelivery } from '../testbed.mjs';

export const title =
  'Three nodes on one Redis, in one process: 1,000 clients; CPU in µs of the nodes, without Redis';
export const reference = 'socket.io, streams adapter';
export const fresh = true; // the memory of Redis is measured from the beginning

/** The client's number, counted from 0, says which node serves it. */
const nodeOf = (origins, id, shift) => {
  const list = origins.split(',');
  return list[(Number(id.replace('client', '')) + shift) % list.length];
};
const openAt =
  (open) =>
  (origins, id, ...rest) =>
    open(nodeOf(origins, id, 0), id, ...rest);
const duplexClient = (shift) => (origins, id, onMessages) => {
  const postOrigin = () => nodeOf(origins, id, shift);
  return openAt(eventStream(duplex, { postOrigin }))(origins, id, onMessages);
};

export const peers = {
  'socket.io, streams adapter': {
    server: 'cluster',
    argument: 'streams',
    open: openAt(socketIo('websocket')),
  },
  'socket.io, pub/sub adapter': {
    server: 'cluster',
    argument: 'pubsub',
    open: openAt(socketIo('websocket')),
  },
  'sse-duplex, POSTs at the owner': {
    server: 'cluster',
    argument: 'sse-duplex',
    open: duplexClient(0),
  },
  'sse-duplex, POSTs elsewhere': {
    server: 'cluster',
    argument: 'sse-duplex',
    open: duplexClient(1),
  },
};

const SENDERS = 100;

export async function prepare(testbed, size) {
  await testbed.call('echo');
  testbed.redisMemory = await testbed.call('redisMemory');
  await testbed.grow(size(1000, 100));
}

export async function round(testbed, size) {
  const used = (await testbed.call('redisMemory')) - testbed.redisMemory;
  return {
    'bytes of Redis per idle session': used / testbed.clients.length,
    broadcast: await cpuPerDelivery(testbed, { messages: size(40, 5) }),
    ...(await echo(testbed, size(40, 5), 1)),
    ...(await echo(testbed, size(20, 3), 16)),
  };
}

/** Some clients send messages, a number at a time, and wait until these are back. */
async function echo({ clients, arrival, cpuOf }, turns, perTurn) {
  const senders = clients.slice(0, SENDERS);
  const count = turns * perTurn * senders.length;
  const start = performance.now();
  const cpu = await cpuOf(async () => {
    await Promise.all(senders.map((client) => sendAll(client, turns, perTurn)));
    await arrival(count);
  });
  const seconds = (performance.now() - start) / 1000;
  return {
    [`echo, ${perTurn} at a time`]: cpu / count,
    [`echoes per second, ${perTurn} at a time`]: count / seconds,
  };
}

async function sendAll(client, turns, perTurn) {
  for (let turn = 0; turn < turns; turn++) {
    let missing = perTurn;
    const back = new Promise((resolve) => {
      client.onArrival = (arrived) => (missing -= arrived) <= 0 && resolve();
    });
    const messages = Array.from({ length: perTurn }, (_, n) => makeMessage(n));
    await Promise.all([back, send(client, messages)]);
  }
}

function send(client, messages) {
  if (client.resume) return client.send(...messages); // one POST
  return Promise.all(messages.map((message) => client.send(message)));
}
