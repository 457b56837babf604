import { openDuplex } from '../helpers/channel';
import type { DuplexClient } from '../helpers/channel';
import { startFaultyNode } from '../helpers/faulty-nodes';
import { MemoryEngine, MemoryStore } from '../helpers/memory-engine';
import { waitFor } from '../helpers/wait-for';

it('A session receives a broadcast that arrives at any moment while it is opened', async () => {
  const store = new MemoryStore();
  const created = new MemoryEngine(store);
  const { engine, node } = await startFaultyNode(created);
  let microtasks = 0;
  async function broadcast(session: string): Promise<void> {
    const sent = microtasks;
    for (let i = 0; i < sent; i++) await Promise.resolve();
    const position = ++store.position;
    const broadcast = { session, message: String(sent), sender: 'x', number: sent + 1, position };
    store.broadcasts.push(broadcast);
    store.listeners.get(created.nodeId)!.onBroadcast(broadcast);
  }
  const { open } = engine;
  engine.open = async (id, session) => {
    const isOpened = await open(id, session);
    void broadcast(id);
    return isOpened;
  };
  const clients: DuplexClient[] = [];
  for (; microtasks < 20; microtasks++) clients.push(await openDuplex(node.url, `${microtasks}`));
  node.sse.broadcast('end');
  const received: unknown[] = [];
  for (const { stream } of clients) received.push(await stream.takeData());
  expect(received).toEqual(clients.map((_, index) => index));
});

it('A node that adopts a session of which it has an old state ends the old one', async () => {
  const store = new MemoryStore();
  const { node } = await startFaultyNode(new MemoryEngine(store));
  const { stream } = await openDuplex(node.url, 'a');
  const moved: string[] = [];
  node.connections[0]!.on('moved', () => moved.push('moved'));
  const other = new MemoryEngine(store);
  await other.start('other', { onBroadcast: () => {}, onNotification: () => {} });
  const found = await other.find('a');
  await other.claim('a', found!);
  store.leases.set('other', 0); // it is killed
  await waitFor(() => node.connections.length === 2);
  expect(moved).toEqual(['moved']);
  await stream.ended;
});
