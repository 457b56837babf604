import { makeMessage } from '../message.mjs';
import { duplex, eventStream } from '../clients/event-stream.mjs';
import { socketIo } from '../clients/socket.io.mjs';
import { cpuPerDelivery } from '../testbed.mjs';

export const title =
  'Three nodes on one Redis: 1,000 clients, of which 100 send; CPU in µs per delivery or echo';
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
  const broadcast = await cpuPerDelivery(testbed, { messages: size(40, 5) });
  await echo(testbed, size(60, 3), 1); // until the code is compiled
  return {
    'bytes of Redis per idle session': used / testbed.clients.length,
    'broadcast: nodes': broadcast,
    ...(await echo(testbed, size(150, 5), 1)),
    ...(await echo(testbed, size(40, 3), 16)),
  };
}

/**
 * Some clients send messages, a number at a time, and wait until these are back. The clients may sleep here, unlike in
 * `cpuOf`, because they share two cores with the nodes and with Redis, which are woken by one another as well.
 */
async function echo(testbed, turns, perTurn) {
  const senders = testbed.clients.slice(0, SENDERS);
  const count = turns * perTurn * senders.length;
  const before = await sampleCpu(testbed);
  const start = performance.now();
  await Promise.all(senders.map((client) => sendAll(client, turns, perTurn)));
  await testbed.arrival(count);
  const seconds = (performance.now() - start) / 1000;
  const after = await sampleCpu(testbed);
  const costs = Object.entries(after).map(([name, cpu]) => [
    `echo, ${perTurn} at a time: ${name}`,
    (cpu - before[name]) / count,
  ]);
  return {
    ...Object.fromEntries(costs),
    [`echoes per second, ${perTurn} at a time`]: count / seconds,
  };
}

/** Returns the CPU time of the nodes, of Redis and of the clients so far, in microseconds. */
async function sampleCpu({ call }) {
  const { cpu: nodes } = await call('sample');
  const { user, system } = process.cpuUsage();
  return { nodes, Redis: await call('redisCpu'), clients: user + system };
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
