import { eventsOf, next, openClient } from '../helpers/client';
import { startNode, stopNode } from '../helpers/cluster';
import type { NodeConnection } from '../helpers/cluster';
import { createFaultyEngine } from '../helpers/faulty-engine';
import { startFaultyNode } from '../helpers/faulty-nodes';
import { MemoryEngine, MemoryStore } from '../helpers/memory-engine';
import { onTestFinished } from '../helpers/on-test-finished';
import { waitFor } from '../helpers/wait-for';

it('A node that does not reach the engine for 10 s ends its streams', async () => {
  const { engine, node } = await startFaultyNode(new MemoryEngine(new MemoryStore()));
  const client = openClient(node.url);
  const disconnects = eventsOf(client, 'disconnect');
  await next(client, 'open');
  engine.fault = () => 'lose';
  await waitFor(() => disconnects.length === 1, 13_000);
  engine.fault = () => 'none';
  await next(client, 'reconnect');
}, 20_000);

it('A node keeps its lease while it adopts sessions, however long that takes', async () => {
  const store = new MemoryStore();
  const { engine } = await startFaultyNode(new MemoryEngine(store));
  let isAdopting = false;
  let beats = 0;
  engine.sessionsOf = () => {
    isAdopting = true;
    return new Promise(() => {});
  };
  engine.onApplied = (method) => {
    if (isAdopting && method === 'beat') beats++;
  };
  store.leases.set('a node that was killed', 0);
  await waitFor(() => beats === 2, 8_000);
}, 10_000);

it('A node that cannot connect to the engine rejects requests with 503', async () => {
  const engine = createFaultyEngine(new MemoryEngine(new MemoryStore()));
  engine.start = () => new Promise(() => {});
  const node = await startNode(engine);
  onTestFinished(() => stopNode(node));
  const { status } = await fetch(`${node.url}?sseClientId=a&sseProtocol=2`);
  expect(status).toBe(503);
});

it('A node that is closed while the engine does not answer releases its sessions', async () => {
  const engine = createFaultyEngine(new MemoryEngine(new MemoryStore()));
  const node = await startNode(engine, { reconnectJitter: 1 });
  onTestFinished(() => stopNode(node));
  const client = openClient(node.url, { renewSession: false });
  await next(client, 'open');
  engine.fault = () => 'lose';
  const [connection] = node.connections as [NodeConnection];
  const moved: string[] = [];
  connection.on('moved', () => moved.push('moved'));
  connection.send('x'); // waits for the engine
  await node.sse.close();
  expect(moved).toEqual(['moved']);
});
