import { setTimeout as sleep } from 'node:timers/promises';
import type { SseOptions } from '../../lib/index';
import { addressOf, openDuplex } from '../helpers/channel';
import { eventsOf, messagesOf, next, openClient } from '../helpers/client';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { startNode, stopNode } from '../helpers/cluster';
import type { NodeConnection } from '../helpers/cluster';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { createFaultyEngine } from '../helpers/faulty-engine';
import { startFaultyNode } from '../helpers/faulty-nodes';
import { openStream } from '../helpers/http';
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

it('A session stays open if its client reconnects just when its time is over and the engine fails', async () => {
  const engine = createFaultyEngine(new MemoryEngine(new MemoryStore()));
  const node = await startNode(engine, { reconnectJitter: 1, reconnectTimeout: 50 });
  onTestFinished(async () => {
    await stopNode(node);
    await node.sse.close();
  });
  const client = await openDuplex(node.url);
  const [connection] = node.connections as [NodeConnection];
  const failures: (() => void)[] = [];
  const { read } = engine;
  engine.read = () =>
    new Promise((_, reject) => failures.push(() => reject(new Error('the engine has failed'))));
  client.stream.cut();
  await waitFor(() => failures.length === 1); // the node asks the engine before it closes the session
  const stream = await client.resume(0);
  engine.read = read;
  for (const fail of failures) fail();
  await sleep(150);
  expect([connection.readyState, connection.connected]).toEqual([1, true]);
  stream.cut();
});

describe('Messages that are sent after a broadcast that the engine has not recorded', () => {
  /** Starts a node whose engine records no broadcasts until `answer` is called. */
  async function startWithoutBroadcasts(options: SseOptions = {}) {
    const engine = createFaultyEngine(new MemoryEngine(new MemoryStore()));
    const node = await startNode(engine, { reconnectJitter: 1, ...options });
    const answer = () => void (engine.fault = () => 'none');
    onTestFinished(async () => {
      answer();
      await stopNode(node);
      await node.sse.close();
    });
    engine.fault = (method) => (method === 'broadcast' ? 'lose' : 'none');
    return { node, answer };
  }

  it('are counted until they are written, and "drain" follows', async () => {
    const { node, answer } = await startWithoutBroadcasts({ highWaterMark: 50 });
    const client = openClient(node.url);
    const messages = messagesOf(client);
    await next(client, 'open');
    const [connection] = node.connections as [NodeConnection];
    let drains = 0;
    connection.on('drain', () => drains++);
    node.sse.broadcast('first');
    const size = `data: 'second\n\n`.length;
    expect(connection.send('second')).toBe(true);
    expect([connection.bufferedAmount, connection.unacknowledgedAmount]).toEqual([size, size]);
    expect(connection.send('x'.repeat(50))).toBe(false);
    expect([node.sse.stats().bufferedAmount > 50, drains]).toEqual([true, 0]);
    answer();
    await waitFor(() => drains === 1);
    await waitFor(() => messages.length === 3);
    expect(connection.bufferedAmount).toBe(0);
  });

  it('close the session if they exceed maxBufferedAmount, and are then unacknowledged', async () => {
    const { node } = await startWithoutBroadcasts({ maxBufferedAmount: 100 });
    const { stream } = await openDuplex(node.url);
    const [connection] = node.connections as [NodeConnection];
    const closes: unknown[] = [];
    connection.on('close', (code, _reason, { unacknowledged }) => {
      closes.push([code, unacknowledged]);
    });
    node.sse.broadcast('first');
    const long = 'x'.repeat(100);
    expect([connection.send('second'), connection.send(long)]).toEqual([true, false]);
    expect(closes).toEqual([[1008, ['second', long]]]);
    expect(await stream.takeData()).toMatchObject({ code: 1008 });
    expect(connection.bufferedAmount).toBe(0);
  });

  it('are sent as JSON if the client has come back without accepting other forms, and bytes close the session', async () => {
    const { node, answer } = await startWithoutBroadcasts();
    const address = `${addressOf(node.url, 'a')}&sseProtocol=2`;
    const binary = await openStream(`${address}&sseBinary=1`);
    const { token } = (await binary.takeData()) as { token: string };
    const [connection] = node.connections as [NodeConnection];
    const closes: unknown[] = [];
    connection.on('close', (code, _reason, { unacknowledged }) => {
      closes.push([code, unacknowledged]);
    });
    node.sse.broadcast('first');
    for (const each of ['text', Uint8Array.of(1), 'last']) connection.send(each);
    const json = await openStream(address, { 'Last-Event-ID': `${token}.0` });
    await json.takeData(); // hello
    answer();
    for (const each of ['first', 'text']) expect(await json.takeData()).toBe(each);
    expect(await json.takeData()).toMatchObject({ code: 1003 });
    json.cut();
    void node.sse.close(1001);
    await waitFor(() => closes.length === 1);
    expect(closes).toEqual([[1003, ['first', 'text', Buffer.of(1), 'last']]]);
  });
});

it('A node continues if the engine loses its data again while the node recovers', async () => {
  const store = new MemoryStore();
  const { engine, node } = await startFaultyNode(new MemoryEngine(store));
  await openDuplex(node.url, 'a');
  let beats = 0;
  const { readBroadcasts } = engine;
  engine.readBroadcasts = async (after) => {
    engine.readBroadcasts = readBroadcasts;
    store.clear();
    await new MemoryEngine(store).beat(0); // another node begins the next generation
    beats = 0;
    return readBroadcasts(after);
  };
  engine.onApplied = (method) => {
    if (method === 'beat') beats++;
  };
  store.clear();
  await waitFor(() => engine.readBroadcasts === readBroadcasts);
  await waitFor(() => beats === 2);
  await waitFor(() => store.sessions.has('a'));
});

it('A commit that is not made any more does not count as an answer of the engine', async () => {
  const store = new MemoryStore();
  const created = new MemoryEngine(store);
  const { engine, node } = await startFaultyNode(created);
  await openDuplex(node.url, 'a');
  const [connection] = node.connections as [NodeConnection];
  const published: string[] = [];
  for (const name of ['engine-lost', 'engine-back']) {
    const listener = () => published.push(name);
    subscribe(`sse-duplex:${name}`, listener);
    onTestFinished(() => unsubscribe(`sse-duplex:${name}`, listener));
  }
  const moved: string[] = [];
  connection.on('moved', () => moved.push('moved'));
  let beats = 0;
  engine.fault = (method) => {
    if (method === 'beat') beats++;
    return 'lose';
  };
  connection.send('x');
  await waitFor(() => published.length === 1);
  const request = { type: 'release', id: 'a', claimant: 'other', isOptional: false } as const;
  await new MemoryEngine(store).notify(created.nodeId, request);
  await waitFor(() => moved.length === 1);
  beats = 0;
  await waitFor(() => beats === 2); // a call is repeated after a second at the latest
  expect(published).toEqual(['engine-lost']);
  engine.fault = () => 'none';
  await waitFor(() => published.length === 2);
  expect(published).toEqual(['engine-lost', 'engine-back']);
});

it('A node does not report the close of a session that another node has taken over in the meantime', async () => {
  const store = new MemoryStore();
  const { engine, node } = await startFaultyNode(new MemoryEngine(store));
  const { node: other } = await startFaultyNode(new MemoryEngine(store));
  const client = await openDuplex(node.url);
  const [connection] = node.connections as [NodeConnection];
  const events: string[] = [];
  connection.on('close', () => events.push('close')).on('moved', () => events.push('moved'));
  engine.fault = () => 'lose';
  engine.isPublished = () => false;
  client.stream.cut();
  await waitFor(() => !connection.connected);
  const stream = await openStream(`${addressOf(other.url, 'a')}&sseProtocol=2`, {
    'Last-Event-ID': `${client.token}.0`,
  });
  expect(stream.status).toBe(200);
  useFakeTimeouts();
  connection.close();
  const expire = async () => {
    jest.advanceTimersByTime(60_000); // twice reconnectTimeout
    await turn();
  };
  await expire();
  expect([connection.readyState, events]).toEqual([2, []]);
  engine.fault = () => 'none';
  await expire();
  await waitFor(() => events.length === 1);
  expect(events).toEqual(['moved']);
  stream.cut();
});
