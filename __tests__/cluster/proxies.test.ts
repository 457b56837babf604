import { setTimeout as sleep } from 'node:timers/promises';
import { startHaproxy } from '../integration/proxies/haproxy';
import { startNginx } from '../integration/proxies/nginx';
import { startNode, stopNode } from '../helpers/cluster';
import type { TestNode } from '../helpers/cluster';
import { eventsOf, messagesOf, next, openClient } from '../helpers/client';
import { openStream } from '../helpers/http';
import { onTestFinished } from '../helpers/on-test-finished';
import type { Program } from '../helpers/programs';
import { openRedis, startRedis } from '../helpers/redis';
import { waitFor } from '../helpers/wait-for';

jest.setTimeout(60_000);

const CLIENTS = 10;
const MESSAGES = 200;

let redis: Program;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

/** Starts three nodes that echo, and counts the POSTs that reach each. */
async function startNodes(): Promise<{ nodes: TestNode[]; posts: number[] }> {
  const source = await openRedis('redis', redis.port);
  const posts = [0, 0, 0];
  const nodes: TestNode[] = [];
  for (const index of posts.keys()) {
    const { engine } = source.create();
    const node = await startNode(engine, { heartbeatInterval: 2_000, reconnectJitter: 100 });
    node.sse.on('connection', (connection) => {
      connection.on('message', (message) => connection.send(message));
    });
    node.server.prependListener('request', ({ method }) => {
      if (method === 'POST') posts[index]!++;
    });
    nodes.push(node);
    onTestFinished(async () => {
      await stopNode(node);
      await Promise.race([node.sse.close(), sleep(100)]);
      await engine.stop().catch(() => {});
    });
  }
  return { nodes, posts };
}

describe.each([
  ['nginx', (ports: number[]) => startNginx(ports)],
  ['HAProxy', (ports: number[]) => startHaproxy(ports, 60_000)],
])('Three nodes behind %s, which sends each request to another one', (_, startProxy) => {
  it('deliver each message once and in order, also when a node is shut down', async () => {
    const { nodes, posts } = await startNodes();
    const proxy = await startProxy(nodes.map(({ port }) => port));
    onTestFinished(() => proxy.stop());
    const clients = Array.from({ length: CLIENTS }, () => {
      const client = openClient(`http://127.0.0.1:${proxy.port}/sse`);
      return { client, messages: messagesOf(client), ends: eventsOf(client, 'sessionlost') };
    });
    await Promise.all(clients.map(({ client }) => next(client, 'open')));
    for (let number = 0; number < MESSAGES; number++) {
      for (const { client } of clients) client.send(number);
      if (number % 10 === 0) await sleep(10);
      if (number === MESSAGES / 2) {
        const [first] = nodes as [TestNode];
        void first.sse.close().then(() => stopNode(first));
      }
    }
    await waitFor(
      () => clients.every(({ messages }) => messages.length >= MESSAGES),
      30_000,
      () => clients.map(({ messages }) => messages.length).join(),
    );
    await sleep(200); // lets a late duplicate arrive
    const expected = Array.from({ length: MESSAGES }, (__, number) => number);
    for (const { messages, ends } of clients) {
      expect(messages).toEqual(expected);
      expect(ends).toEqual([]);
    }
    // How many POSTs carry the messages depends on the speed of the machine; that each node took part does not.
    expect(Math.min(...posts)).toBeGreaterThan(0);
  });
});

it('nginx that sends a POST of a killed node to another one keeps a client of the Dart dialect', async () => {
  const { nodes } = await startNodes();
  const received: unknown[] = [];
  for (const { sse } of nodes) {
    sse.on('connection', (connection) => {
      connection.on('message', (message) => received.push(message));
    });
  }
  const location = 'proxy_next_upstream error timeout non_idempotent;';
  const ports = nodes.map(({ port }) => port);
  const proxy = await startNginx(ports, { location });
  onTestFinished(() => proxy.stop());
  const url = `http://127.0.0.1:${proxy.port}/sse?sseClientId=a`;
  const stream = await openStream(url);
  expect(await stream.take()).toMatchObject({ event: 'hello' });
  const owner = nodes.find(({ connections }) => connections.length > 0)!;
  // The node ends when it has received POSTs and has answered none of them.
  let unanswered = 0;
  owner.server.removeAllListeners('request');
  owner.server.on('request', () => {
    unanswered++;
    if (unanswered === 3) void stopNode(owner);
  });
  const statuses: number[] = [];
  let number = 0;
  const sendAll = async () => {
    while (number < MESSAGES) {
      const body = JSON.stringify(number);
      const { status } = await fetch(`${url}&messageId=${number++}`, { method: 'POST', body });
      statuses.push(status);
    }
  };
  await Promise.all([1, 2, 3, 4, 5].map(sendAll));
  expect(unanswered).toBe(3);
  expect(new Set(statuses)).toEqual(new Set([200]));
  await waitFor(() => received.length >= MESSAGES);
  expect(received).toEqual(Array.from({ length: MESSAGES }, (_, each) => each));
});
