import { addressOf, openDuplex } from '../helpers/channel';
import type { NodeConnection, TestNode } from '../helpers/cluster';
import { startNode, stopNode } from '../helpers/cluster';
import { createFaultyEngine } from '../helpers/faulty-engine';
import { startFaultyNode } from '../helpers/faulty-nodes';
import { openStream } from '../helpers/http';
import { MemoryEngine, MemoryStore } from '../helpers/memory-engine';
import { onTestFinished } from '../helpers/on-test-finished';
import { waitFor } from '../helpers/wait-for';

it('A node writes many sessions at a time into a new engine, and extends its lease meanwhile', async () => {
  const store = new MemoryStore();
  const { engine, node } = await startFaultyNode(new MemoryEngine(store));
  await Promise.all(Array.from({ length: 150 }, (_, i) => openDuplex(node.url, String(i))));
  const { restore } = engine;
  const written: (() => void)[] = [];
  engine.restore = async (id, session) => {
    await new Promise<void>((resolve) => written.push(resolve));
    await restore(id, session);
  };
  store.clear();
  await waitFor(() => written.length === 100);
  let hasBeaten = false;
  engine.onApplied = (method) => {
    hasBeaten ||= method === 'beat';
  };
  await waitFor(() => hasBeaten);
  expect(written).toHaveLength(100);
  for (const resolve of written) resolve();
  await waitFor(() => written.length === 150);
  for (const resolve of written) resolve();
  await waitFor(() => store.sessions.size === 150);
});

it('A node that writes its sessions into a new engine again keeps what another node has recorded', async () => {
  const store = new MemoryStore();
  const { engine, node } = await startFaultyNode(new MemoryEngine(store));
  await openDuplex(node.url, 'a');
  await openDuplex(node.url, 'b');
  const received: unknown[] = [];
  node.connections[0]!.on('message', (message) => received.push(message));
  engine.isPublished = () => false;
  const other = new MemoryEngine(store);
  const { restore } = engine;
  engine.restore = async (id, session) => {
    if (id === 'a') return restore(id, session);
    await waitFor(() => store.sessions.has('a'));
    const { dialect, tokenHash, principal } = store.sessions.get('a')!;
    const identity = { dialect, tokenHash, principal };
    const batch = { first: 0, messages: ['"recorded"'], acknowledged: 0, close: undefined };
    await other.take('a', { ...identity, ...batch, maxUnhandled: 10, maxBytes: 1_000 });
    engine.restore = restore;
    throw new Error('the first attempt fails');
  };
  store.clear();
  await waitFor(() => store.sessions.has('b'));
  await waitFor(() => received.length === 1);
  expect(received).toEqual(['recorded']);
});

it.each(['does not read', 'handles the last message'])(
  'A node writes an ended session again whose commit the engine has lost while the application %s',
  async (what) => {
    const store = new MemoryStore();
    const engine = createFaultyEngine(new MemoryEngine(store));
    const node = await startNode(engine, { reconnectJitter: 1, reconnectTimeout: 50 });
    onTestFinished(async () => {
      await stopNode(node);
      await node.sse.close();
    });
    const { post, stream } = await openDuplex(node.url, 'a');
    const [connection] = node.connections as [NodeConnection];
    let handle = () => {};
    const handled = new Promise<void>((resolve) => (handle = resolve));
    const listen = () => connection.on('message', (): unknown => handled);
    if (what === 'handles the last message') listen();
    await post({ messages: ['x'] });
    stream.cut();
    await waitFor(() => store.sessions.get('a')?.close?.isClosed === true);
    let commits = 0;
    engine.delay = () => 1; // otherwise calls that are repeated at once would block the process
    engine.fault = (method) => {
      if (method === 'commit') commits++;
      return 'none';
    };
    store.sessions.get('a')!.sequence--;
    if (what === 'does not read') listen();
    handle();
    await waitFor(() => store.sessions.size === 0);
    expect(commits).toBe(2);
  },
);

it.each(['the same node', 'another node'])(
  'A session that has ended is not continued at %s while the application does not read its messages',
  async (where) => {
    const store = new MemoryStore();
    const nodes: TestNode[] = [];
    for (let i = 0; i < 2; i++) {
      const node = await startNode(new MemoryEngine(store), { reconnectTimeout: 50 });
      onTestFinished(async () => {
        await stopNode(node);
        node.connections[0]?.on('message', () => {});
        await node.sse.close(1001);
      });
      nodes.push(node);
    }
    const [first, second] = nodes as [TestNode, TestNode];
    const { token, post, stream } = await openDuplex(first.url, 'a');
    await post({ messages: ['x'] });
    stream.cut();
    await waitFor(() => first.sse.connections.size === 0);
    const { url } = where === 'the same node' ? first : second;
    const headers = { 'Last-Event-ID': `${token}.0` };
    const { status } = await openStream(`${addressOf(url, 'a')}&sseProtocol=2`, headers);
    expect([status, first.connections.length, second.connections.length]).toEqual([404, 1, 0]);
  },
);
