import { openDuplex } from '../helpers/channel';
import { startFaultyNode } from '../helpers/faulty-nodes';
import { MemoryEngine, MemoryStore } from '../helpers/memory-engine';
import { waitFor } from '../helpers/wait-for';

it('A node writes many sessions at a time into a new engine, and extends its lease meanwhile', async () => {
  const store = new MemoryStore();
  const { engine, node } = await startFaultyNode(new MemoryEngine(store));
  for (let i = 0; i < 150; i++) await openDuplex(node.url, String(i));
  const { restore } = engine;
  const written: (() => void)[] = [];
  engine.restore = async (id, session) => {
    await new Promise<void>((resolve) => written.push(resolve));
    await restore(id, session);
  };
  store.clear();
  await waitFor(() => written.length === 100);
  let beats = 0;
  engine.onApplied = (method) => {
    if (method === 'beat') beats++;
  };
  await waitFor(() => beats === 2);
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
