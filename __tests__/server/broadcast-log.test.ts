import { BroadcastLog } from '../../lib/server/broadcast-log';
import type { BroadcastNode } from '../../lib/server/broadcast-log';
import { addressOf, openDuplex } from '../helpers/channel';
import { startFaultyNode } from '../helpers/faulty-nodes';
import { openStream } from '../helpers/http';
import { MemoryEngine, MemoryStore } from '../helpers/memory-engine';

const LOST = { code: 1011, reason: 'broadcasts for the session were lost' };

/** Appends broadcasts, all of which the store loses before any node has read them. */
function loseBroadcasts(store: MemoryStore): void {
  store.position += 3;
  store.broadcasts = [];
}

it('A node that has missed broadcasts which the engine does not have any more closes its open sessions with 1011', async () => {
  const store = new MemoryStore();
  const { node } = await startFaultyNode(new MemoryEngine(store));
  const { stream } = await openDuplex(node.url, 'a');
  const closing = await openDuplex(node.url, 'b');
  const [, connection] = node.connections;
  connection!.close(4001, 'done');
  expect(await closing.stream.takeData()).toEqual({ code: 4001, reason: 'done' });
  loseBroadcasts(store);
  expect(await stream.takeData()).toEqual(LOST);
  await closing.post({ close: { code: 4001, reason: 'done' } });
  await closing.stream.ended;
  expect(connection!.readyState).toBe(3);
});

it('A node whose own broadcast was lost before it has read it sends later messages', async () => {
  const store = new MemoryStore();
  const { engine, node } = await startFaultyNode(new MemoryEngine(store));
  engine.isPublished = () => false;
  engine.onApplied = (method) => {
    if (method === 'broadcast') loseBroadcasts(store);
  };
  const { stream } = await openDuplex(node.url, 'a');
  node.sse.broadcast('lost');
  expect(await stream.takeData()).toEqual(LOST);
  const next = await openDuplex(node.url, 'b');
  node.connections[1]!.send('next');
  expect(await next.stream.takeData()).toBe('next');
});

it('A node that takes a session over closes it with 1011 if it misses broadcasts in the meantime', async () => {
  const store = new MemoryStore();
  const [first, second] = [
    await startFaultyNode(new MemoryEngine(store)),
    await startFaultyNode(new MemoryEngine(store)),
  ];
  const { token } = await openDuplex(first.node.url, 'a');
  second.engine.isPublished = () => false;
  const { readBroadcasts } = second.engine;
  second.engine.readBroadcasts = async (after) => {
    const range = await readBroadcasts(after);
    second.engine.readBroadcasts = readBroadcasts;
    loseBroadcasts(store);
    return range;
  };
  const resumed = await openStream(`${addressOf(second.node.url, 'a')}&sseProtocol=2`, {
    'Last-Event-ID': `${token}.0`,
  });
  expect(await resumed.takeData()).toMatchObject({ resumed: true });
  expect(await resumed.takeData()).toEqual(LOST);
});

it('A change that is made while postponed changes run is postponed, too, so that it follows them', () => {
  const node: BroadcastNode = {
    id: 'node',
    generation: 'generation',
    ready: Promise.resolve(),
    hasStopped: () => false,
    untilAnswered: (call) => call(),
    check: () => Promise.resolve(),
    deliverBroadcast: () => {},
    onBroadcastsLost: () => {},
  };
  const log = new BroadcastLog(node, new MemoryEngine(new MemoryStore()));
  node.untilAnswered = () => new Promise(() => {}); // the engine does not answer
  log.send({ message: '"x"' });
  const changes: string[] = [];
  const change = (name: string) => {
    if (log.hasDeliveredOwn) changes.push(name);
    else log.afterOwn(() => changes.push(name));
  };
  log.afterOwn(() => {
    changes.push('first');
    change('made by the first');
  });
  change('second');
  log.onAppended({ position: 1, sender: 'node', number: 1, message: '"x"' });
  change('later');
  expect(changes).toEqual(['first', 'second', 'made by the first', 'later']);
});
