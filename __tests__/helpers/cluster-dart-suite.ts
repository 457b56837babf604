import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SseOptions } from '../../lib/index';
import { addressOf, openDuplex } from './channel';
import type { NodeConnection } from './cluster';
import { useFaultyNodes } from './faulty-nodes';
import type { EngineSource, FaultyNode } from './faulty-nodes';
import { openStream, post } from './http';
import type { RawStream } from './http';
import { createRandom } from './random';
import { waitFor } from './wait-for';

interface Numbered {
  message: unknown;
  number: number;
  redelivered: boolean;
}

/** Defines the tests of clients of the Dart dialect that every engine has to pass. */
export function describeDartCluster(name: string, openSource: () => Promise<EngineSource>): void {
  const { startNodes, source } = useFaultyNodes(openSource);
  const clear = () => source().clear();
  const countSessions = () => source().countSessions();

  /** Starts nodes that record what their connections receive and how they end. */
  async function startRecording(count: number, options: SseOptions = {}) {
    const received: Numbered[] = [];
    const closes: unknown[] = [];
    const nodes = await startNodes(
      count,
      (connection) => {
        connection.on('message', (message, { number, redelivered }) => {
          received.push({ message, number, redelivered });
        });
        connection.on('close', (code, reason) => closes.push([code, reason]));
      },
      options,
    );
    return { nodes, received, closes };
  }

  function open(node: FaultyNode | undefined, id: string, lastEventId?: string) {
    return openStream(
      addressOf(node!.url, id),
      lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId },
    );
  }

  /** Opens a session and returns its stream and the `Last-Event-ID`. */
  async function openSession(node: FaultyNode | undefined, id: string) {
    const stream = await open(node, id);
    const { id: lastEventId, event } = await stream.take();
    expect([stream.status, event]).toEqual([200, 'hello']);
    return { stream, lastEventId: lastEventId! };
  }

  const send = (
    node: FaultyNode | undefined,
    id: string,
    number: number | undefined,
    message: unknown,
  ) => post(addressOf(node!.url, id, number), JSON.stringify(message));

  const messagesOf = (received: Numbered[]) => received.map(({ message }) => message);

  async function takeMessages(stream: RawStream, count: number): Promise<unknown[]> {
    const messages: unknown[] = [];
    for (let i = 0; i < count; i++) messages.push(await stream.takeData());
    return messages;
  }

  describe(`Several nodes that share ${name} carry sessions of the Dart dialect, and`, () => {
    it('deliver messages that reach any node in any order, and several times, once and in the order of their numbers', async () => {
      const { nodes, received } = await startRecording(3);
      await openSession(nodes[0], 'a');
      const random = createRandom(7);
      const numbers = Array.from({ length: 40 }, (_, number) => number);
      const posts = [...numbers, ...numbers.slice(0, 20)]
        .map((number) => ({ number, at: random.next() }))
        .sort((x, y) => x.at - y.at);
      const replies = await Promise.all(
        posts.map(({ number }, i) => send(nodes[i % 3], 'a', number, `m${number}`)),
      );
      expect(replies.every(({ status }) => status === 200)).toBe(true);
      await waitFor(() => received.length === 40);
      expect(received).toEqual(
        numbers.map((number) => ({ message: `m${number}`, number, redelivered: false })),
      );
    });

    it('resume a session at another node with the messages that its client lacks', async () => {
      const { nodes } = await startRecording(2);
      const { stream } = await openSession(nodes[0], 'a');
      const [connection] = nodes[0]!.connections as [NodeConnection];
      for (const message of ['a', 'b', 'c']) connection.send(message);
      const { id } = await stream.take();
      await stream.take();
      await sleep(50); // all of it is recorded
      nodes[0]!.kill();
      nodes[1]!.sse.broadcast('d');
      const resumed = await open(nodes[1], 'a', id);
      expect(await resumed.take()).toMatchObject({ event: 'hello', id });
      expect(await takeMessages(resumed, 3)).toEqual(['b', 'c', 'd']);
      expect(nodes[1]!.connections[0]).toMatchObject({ id: 'a', recovered: true });
    });

    it('deliver what a killed node had not handled, and what waited for an earlier message', async () => {
      const { nodes, received } = await startRecording(2, { reorderTimeout: 5_000 });
      const { lastEventId } = await openSession(nodes[0], 'a');
      nodes[0]!.connections[0]!.removeAllListeners('message');
      await send(nodes[1], 'a', 0, 'first');
      await send(nodes[1], 'a', 2, 'third');
      nodes[0]!.kill();
      await send(nodes[1], 'a', 1, 'second');
      await open(nodes[1], 'a', lastEventId);
      await waitFor(() => received.length === 3);
      expect(received).toEqual([
        { message: 'first', number: 0, redelivered: true },
        { message: 'second', number: 1, redelivered: true },
        { message: 'third', number: 2, redelivered: true },
      ]);
    });

    it('deliver messages without a number in the order of arrival, and do not count them', async () => {
      const { nodes, received } = await startRecording(2);
      await openSession(nodes[0], 'a');
      for (const node of nodes) {
        expect((await send(node, 'a', undefined, { any: 'json' })).json).toEqual({ received: 0 });
      }
      expect((await send(nodes[1], 'a', 0, 'x')).json).toEqual({ received: 1 });
      await waitFor(() => received.length === 3);
      expect(messagesOf(received)).toEqual([{ any: 'json' }, { any: 'json' }, 'x']);
      expect(received.map(({ number }) => number)).toEqual([0, 1, 2]);
    });

    it.each([
      ['is not JSON', '{', {}, 400],
      ['is too large', JSON.stringify('x'.repeat(5_000)), {}, 413],
      ['is of another type', '1', { 'Content-Type': 'text/html' }, 415],
    ])('consume at any node the number of a message that %s', async (_, body, headers, status) => {
      const { nodes, received } = await startRecording(2, { maxPayload: 1_000 });
      for (const [at, node] of nodes.entries()) {
        const id = `at ${at}`;
        await openSession(nodes[0], id);
        await send(nodes[1], id, 0, 'a');
        await send(nodes[0], id, 2, 'c');
        expect((await post(addressOf(node.url, id, 1), body, headers)).status).toBe(status);
        await waitFor(() => received.length === 2);
        expect(messagesOf(received.splice(0))).toEqual(['a', 'c']);
      }
    });

    it('reject a message beyond the reorder window or the size of what may wait', async () => {
      const options = { reorderWindow: 2, maxBufferedAmount: 1_000, maxPayload: 1_000 };
      const { nodes, received } = await startRecording(2, options);
      await openSession(nodes[0], 'a');
      expect((await send(nodes[1], 'a', 3, 'x')).json).toMatchObject({ code: 'out-of-window' });
      expect((await send(nodes[1], 'a', 2, 'x'.repeat(600))).status).toBe(200);
      expect((await send(nodes[1], 'a', 1, 'x'.repeat(600))).status).toBe(409);
      expect((await send(nodes[0], 'a', 1, 'y')).status).toBe(200);
      expect((await send(nodes[0], 'a', 0, 'z'.repeat(900))).json).toEqual({ received: 3 });
      await waitFor(() => received.length === 3);
    });

    it('close a session of which a message is missing, also if its node was killed', async () => {
      const { nodes, closes } = await startRecording(2, { reorderTimeout: 300 });
      const missing = (number: number) =>
        `message ${number} did not arrive within 300 ms (option "reorderTimeout")`;
      await openSession(nodes[0], 'a');
      await send(nodes[1], 'a', 0, 'first');
      await send(nodes[1], 'a', 2, 'third');
      await waitFor(() => closes.length === 1);
      const { lastEventId } = await openSession(nodes[0], 'b');
      await send(nodes[1], 'b', 1, 'second');
      nodes[0]!.kill();
      await open(nodes[1], 'b', lastEventId);
      await waitFor(() => closes.length === 2);
      expect(closes).toEqual([
        [1002, missing(1)],
        [1002, missing(0)],
      ]);
      // 503 while the engine is new
      expect([404, 410, 503]).toContain((await send(nodes[1], 'b', 0, 'late')).status);
    });

    it('do not miss a message whose notification was lost', async () => {
      const { nodes, received, closes } = await startRecording(2, {
        reorderTimeout: 300,
        heartbeatInterval: 60_000,
      });
      await openSession(nodes[0], 'a');
      await send(nodes[1], 'a', 1, 'second');
      await sleep(50);
      nodes[0]!.engine.isPublished = () => false;
      await send(nodes[1], 'a', 0, 'first');
      await waitFor(() => received.length === 2);
      expect([messagesOf(received), closes]).toEqual([['first', 'second'], []]);
    });

    it('replace a session without a stream for a client of the same principal that cannot resume it', async () => {
      const authorize = ({ headers }: { headers: Record<string, unknown> }) =>
        typeof headers['x-user'] === 'string' ? headers['x-user'] : 'anna';
      const { nodes, received, closes } = await startRecording(2, { authorize });
      const { stream } = await openSession(nodes[0], 'a');
      nodes[0]!.connections[0]!.send('old');
      await stream.take();
      await send(nodes[1], 'a', 0, 'a');
      expect((await open(nodes[1], 'a')).status).toBe(409);
      stream.cut();
      await waitFor(() => !nodes[0]!.connections[0]!.connected);
      const other = await openStream(addressOf(nodes[1]!.url, 'a'), { 'x-user': 'ben' });
      expect(other.status).toBe(409);
      const replacing = await openSession(nodes[1], 'a');
      const reason = 'the client came back without resuming the session';
      expect(closes).toEqual([[1006, reason]]);
      const [old, connection] = nodes[1]!.connections as [NodeConnection, NodeConnection];
      expect([old.recovered, connection.recovered, connection.readyState]).toEqual([
        true,
        false,
        1,
      ]);
      // The client continues its numbering.
      await send(nodes[0], 'a', 3, 'd');
      await send(nodes[1], 'a', 2, 'c');
      await waitFor(() => received.length === 3);
      expect(messagesOf(received)).toEqual(['a', 'c', 'd']);
      expect((await send(nodes[0], 'a', 1, 'b')).status).toBe(409);
      expect((await send(nodes[0], 'a', 4, 'e')).json).toEqual({ received: 5 });
      connection.send('new');
      expect(await replacing.stream.takeData()).toBe('new');
      const resumed = await open(nodes[0], 'a', replacing.lastEventId);
      expect(await resumed.take()).toMatchObject({ event: 'hello' });
      expect(await resumed.takeData()).toBe('new');
    });

    it('replace a session of its own node if what the client lacks was discarded', async () => {
      const { nodes, received } = await startRecording(2, { maxReplayBytes: 0 });
      const { stream, lastEventId } = await openSession(nodes[0], 'a');
      nodes[0]!.connections[0]!.send('lost');
      await stream.take();
      await send(nodes[1], 'a', 0, 'zero');
      stream.cut();
      const replacing = await open(nodes[1], 'a', lastEventId);
      expect((await replacing.take()).id).toMatch(/\.0$/);
      await send(nodes[0], 'a', 1, 'one');
      await waitFor(() => received.length === 2);
      expect(messagesOf(received)).toEqual(['zero', 'one']);
      nodes[1]!.kill();
      await send(nodes[0], 'a', 2, 'two');
      const [, current] = nodes[1]!.connections as [NodeConnection, NodeConnection];
      expect(current.readyState).toBe(1);
    });

    it('deliver to the next session what was recorded while it replaced another one', async () => {
      const { nodes, received } = await startRecording(2);
      const [node] = nodes as [FaultyNode];
      const { stream } = await openSession(node, 'a');
      await send(nodes[1], 'a', 0, 'zero');
      await waitFor(() => received.length === 1);
      stream.cut();
      await waitFor(() => !node.connections[0]!.connected);
      const { replace } = node.engine;
      node.engine.replace = async (...values) => {
        for (const number of [1, 3])
          expect((await send(nodes[1], 'a', number, number)).status).toBe(200);
        return replace.apply(node.engine, values);
      };
      await openSession(node, 'a');
      await waitFor(() => received.length === 2);
      await send(nodes[1], 'a', 1, 1); // repeated by a browser that has not received the response
      await sleep(1_100); // the time after which an unknown first number is chosen
      await send(nodes[1], 'a', 2, 2);
      await waitFor(() => received.length === 4);
      expect(messagesOf(received)).toEqual(['zero', 1, 2, 3]);
    });

    it('do not replace a session that has been released for another node', async () => {
      const { nodes, received } = await startRecording(2);
      const [node] = nodes as [FaultyNode];
      const { stream } = await openSession(node, 'a');
      node.connections[0]!.removeAllListeners('message');
      stream.cut();
      await waitFor(() => !node.connections[0]!.connected);
      const { replace } = node.engine;
      await openSession(nodes[1], 'b');
      const { owner } = (await node.engine.find('b'))!;
      node.engine.replace = async (...values) => {
        await send(nodes[1], 'a', 0, 'recorded');
        await node.engine.release('a', 1, owner);
        return replace.apply(node.engine, values);
      };
      const refused = await open(node, 'a');
      expect([refused.status, await refused.take()]).toEqual([200, { retry: '1000' }]);
      await openSession(nodes[1], 'a');
      await waitFor(() => received.length === 1);
      expect(messagesOf(received)).toEqual(['recorded']);
    });

    it('replace a session whose owner does not know that it is the owner', async () => {
      const { nodes } = await startRecording(3);
      const { stream } = await openSession(nodes[0], 'a');
      stream.cut();
      await waitFor(() => !nodes[0]!.connections[0]!.connected);
      const { engine } = nodes[1]!;
      await engine.claim('a', (await engine.find('a'))!); // the node does not receive the result
      for (;;) {
        const { event } = await (await open(nodes[2], 'a')).take();
        if (event === 'hello') break;
        await sleep(100);
      }
      expect(nodes[1]!.connections).toMatchObject([{ id: 'a', recovered: false }]);
    });

    it('close a session whose owner released it too late for a client that does not return', async () => {
      const { nodes, closes } = await startRecording(2, { reconnectTimeout: 2_000 });
      const [node] = nodes as [FaultyNode];
      const { stream } = await openSession(node, 'a');
      stream.cut();
      await waitFor(() => !node.connections[0]!.connected);
      const { release } = node.engine;
      node.engine.release = async (...values) => {
        await sleep(1_300); // longer than the handover, and than the interval of adoptions
        return release.apply(node.engine, values);
      };
      const refused = await open(nodes[1], 'a');
      expect(await refused.take()).toEqual({ retry: '1000' });
      await waitFor(() => closes.length === 1, 10_000);
      expect(closes).toEqual([[1006, 'the client did not reconnect within 2000 ms']]);
      while ((await countSessions()) > 0) await sleep(10);
    }, 20_000);

    it('keep messages that wait for others when the engine loses all data', async () => {
      const { nodes, received } = await startRecording(2);
      await openSession(nodes[0], 'a');
      await send(nodes[1], 'a', 0, 'first');
      await send(nodes[1], 'a', 2, 'third');
      await waitFor(() => received.length === 1);
      await sleep(50);
      await clear();
      expect((await send(nodes[1], 'a', 1, 'second')).json).toEqual({ received: 3 });
      await waitFor(() => received.length === 3);
      expect(messagesOf(received)).toEqual(['first', 'second', 'third']);
    }, 20_000);

    it('wait with a numbered message, and with a stream, until the engine answers', async () => {
      const { nodes, received } = await startRecording(2);
      await openSession(nodes[0], 'a');
      nodes[1]!.engine.fault = () => 'lose';
      const sending = send(nodes[1], 'a', 0, 'x');
      expect((await send(nodes[1], 'a', undefined, 'y')).status).toBe(503);
      const refused = await open(nodes[1], 'b');
      expect([refused.status, await refused.take()]).toEqual([200, { retry: '1000' }]);
      expect(await refused.ended).toBe('ended');
      nodes[1]!.engine.fault = () => 'none';
      expect((await sending).json).toEqual({ received: 1 });
      await waitFor(() => received.length === 1);
    });

    it('end the client when the application closes the session at any node', async () => {
      const { nodes, closes } = await startRecording(2, { reorderTimeout: 100 });
      const { stream } = await openSession(nodes[0], 'a');
      nodes[1]!.sse.session('a').close(4001, 'go away');
      expect(await stream.take()).toEqual({ event: 'control', data: 'close' });
      await waitFor(() => closes.length === 1);
      expect(closes).toEqual([[4001, 'go away']]);
      await waitFor(() => nodes[0]!.sse.connections.size === 0);
      await sleep(50);
      expect([404, 410, 503]).toContain((await send(nodes[1], 'a', 0, 'late')).status);
    });

    it('close a session whose application does not read what the client sends', async () => {
      const nodes = await startNodes(2, undefined, { maxBufferedAmount: 1_000, maxPayload: 500 });
      const { stream } = await openSession(nodes[0], 'a');
      for (let i = 0; i < 3; i++) await send(nodes[1], 'a', i, 'x'.repeat(400));
      expect(await stream.take()).toEqual({ event: 'control', data: 'close' });
    });

    it('end a session whose client disconnects while it is opened', async () => {
      const { nodes } = await startRecording(1, { reconnectTimeout: 0 });
      const [{ engine, server, url }] = nodes as [FaultyNode];
      const { open: openInEngine } = engine;
      const request = get(addressOf(url, 'a')).on('error', () => {});
      engine.open = async (...values) => {
        request.destroy();
        await waitFor(() => isServerDone);
        return openInEngine(...values);
      };
      let isServerDone = false;
      server.once('request', (_, response) => response.on('close', () => (isServerDone = true)));
      await waitFor(() => isServerDone);
      await sleep(50);
      expect([nodes[0]!.sse.stats().connections, await countSessions()]).toEqual([0, 0]);
    });

    it('replace a session of their own for a client that has the token of an earlier one', async () => {
      const { nodes } = await startRecording(2);
      const { stream } = await openSession(nodes[0], 'a');
      stream.cut();
      await waitFor(() => !nodes[0]!.connections[0]!.connected);
      expect((await open(nodes[0], 'a', 'token-of-an-earlier-session.3')).status).toBe(200);
    });

    it.each([
      [
        'the owner does not answer',
        ([owner]: FaultyNode[]) => (owner!.engine.isPublished = () => false),
      ],
      [
        'the session has just ended',
        ([, node]: FaultyNode[]) => (node!.engine.find = () => Promise.resolve(undefined)),
      ],
      [
        'another node has just claimed it',
        ([, node]: FaultyNode[]) => (node!.engine.claim = () => Promise.resolve(undefined)),
      ],
      [
        'their own is about to leave',
        ([, node]: FaultyNode[]) => {
          const { open: openInEngine } = node!.engine;
          node!.engine.open = (...values) => {
            void node!.sse.close();
            return openInEngine(...values);
          };
        },
      ],
    ])('let a client without a token try again if %s', async (_, prepare) => {
      const { nodes } = await startRecording(2);
      const { stream } = await openSession(nodes[0], 'a');
      stream.cut();
      await waitFor(() => !nodes[0]!.connections[0]!.connected);
      prepare(nodes);
      const refused = await open(nodes[1], 'a');
      expect([refused.status, await refused.take()]).toEqual([200, { retry: '1000' }]);
    });

    it('answer two GETs for the same session of another node', async () => {
      const { nodes } = await startRecording(2);
      const { stream } = await openSession(nodes[0], 'a');
      stream.cut();
      await waitFor(() => !nodes[0]!.connections[0]!.connected);
      const { engine, server } = nodes[1]!;
      const { claim } = engine;
      let requests = 0;
      server.on('request', () => requests++);
      engine.claim = async (...values) => {
        await waitFor(() => requests === 2);
        return claim(...values);
      };
      const streams = await Promise.all([open(nodes[1], 'a'), open(nodes[1], 'a')]);
      expect(streams.map(({ status }) => status)).toEqual([200, 200]);
      expect(
        (await Promise.all(streams.map((each) => each.take()))).map(({ event }) => event).sort(),
      ).toEqual(['hello', undefined]);
    });

    it('do not replace a session for a client that has disconnected', async () => {
      const { nodes, closes } = await startRecording(2);
      const { stream, lastEventId } = await openSession(nodes[0], 'a');
      stream.cut();
      await waitFor(() => !nodes[0]!.connections[0]!.connected);
      const { engine, server, url } = nodes[1]!;
      const { claim } = engine;
      let isServerDone = false;
      let isClaimed = false;
      server.once('request', (_, response) => response.on('close', () => (isServerDone = true)));
      engine.claim = async (...values) => {
        request.destroy();
        await waitFor(() => isServerDone);
        isClaimed = true;
        return claim(...values);
      };
      const request = get(addressOf(url, 'a')).on('error', () => {});
      await waitFor(() => isClaimed);
      await sleep(50);
      const resumed = await open(nodes[0], 'a', lastEventId);
      expect(await resumed.take()).toMatchObject({ event: 'hello', id: lastEventId });
      expect(closes).toEqual([]);
    });

    it('deliver a message within a heartbeat interval although its first reading failed', async () => {
      const { nodes, received } = await startRecording(2, { heartbeatInterval: 60_000 });
      await openSession(nodes[0], 'a');
      let losses = 2;
      nodes[0]!.engine.fault = (method) => (method === 'read' && losses-- > 0 ? 'lose' : 'none');
      await send(nodes[1], 'a', 0, 'first');
      await waitFor(() => received.length === 1);
    });

    it('do not write a session again that ends while the engine has lost all data', async () => {
      const { nodes } = await startRecording(2, { reconnectTimeout: 0 });
      const { stream } = await openSession(nodes[0], 'a');
      const { stream: other } = await openSession(nodes[0], 'b');
      const { engine } = nodes[0]!;
      const { read, restore } = engine;
      const restored: string[] = [];
      let isOtherRead = false;
      let isRemoved = false;
      engine.onApplied = (method) => {
        isRemoved ||= method === 'remove';
      };
      engine.read = async (id, ...values) => {
        if (id !== 'b') return read(id, ...values);
        other.cut();
        await waitFor(() => isRemoved);
        isOtherRead = true;
        return read(id, ...values);
      };
      engine.restore = (id, session) => {
        restored.push(id);
        return restore(id, session);
      };
      await clear();
      await waitFor(() => isOtherRead && restored.length > 0, 10_000);
      stream.cut();
      await waitFor(() => nodes[0]!.sse.connections.size === 0);
      await sleep(50);
      expect([restored, await countSessions()]).toEqual([['a'], 0]);
    }, 20_000);

    it('deliver no message after the close of its session', async () => {
      const { nodes } = await startRecording(2, { reorderTimeout: 100 });
      const { stream } = await openSession(nodes[0], 'a');
      const events: unknown[] = [];
      nodes[0]!.connections[0]!.on('message', (message) => events.push(message));
      nodes[0]!.connections[0]!.on('close', (code) => events.push(code));
      nodes[0]!.engine.fault = (method) => (method === 'commit' ? 'lose' : 'none');
      await send(nodes[1], 'a', 1, 'second');
      expect(await stream.take()).toEqual({ event: 'control', data: 'close' });
      expect((await send(nodes[1], 'a', 0, 'first')).status).toBe(200);
      await sleep(300);
      nodes[0]!.engine.fault = () => 'none';
      await stream.ended;
      await waitFor(() => events.length > 0);
      await sleep(50);
      expect(events).toEqual([1002]);
    });

    it('reject a number before the first one, also after the engine has lost all data', async () => {
      const { nodes, received } = await startRecording(2);
      await open(nodes[0], 'a', 'id of another server');
      await send(nodes[1], 'a', 5, 'five');
      await waitFor(() => received.length === 1);
      expect((await send(nodes[1], 'a', 4, 'four')).status).toBe(409);
      await clear();
      expect((await send(nodes[1], 'a', 6, 'six')).json).toEqual({ received: 7 });
      expect((await send(nodes[1], 'a', 4, 'four')).status).toBe(409);
    }, 20_000);

    it('limit the bytes of what they record before the owner has read it', async () => {
      const { nodes, received } = await startRecording(2, {
        reorderTimeout: 300,
        maxBufferedAmount: 1_000,
      });
      const { lastEventId } = await openSession(nodes[0], 'a');
      nodes[0]!.kill();
      const statuses: number[] = [];
      for (let i = 0; i < 4; i++) {
        statuses.push((await send(nodes[1], 'a', i, 'x'.repeat(400))).status);
      }
      expect(statuses).toEqual([200, 200, 200, 503]);
      await open(nodes[1], 'a', lastEventId);
      await waitFor(() => received.length === 3);
      for (let i = 3; i < 6; i++) {
        expect((await send(nodes[1], 'a', i, 'x'.repeat(400))).status).toBe(200);
      }
      await waitFor(() => received.length === 6);
    });

    it('do not read all that waits for a missing message each time that another one arrives', async () => {
      const { nodes } = await startRecording(2);
      await openSession(nodes[0], 'a');
      let characters = 0;
      const { read } = nodes[0]!.engine;
      nodes[0]!.engine.read = async (...values) => {
        const recorded = await read(...values);
        characters += JSON.stringify(recorded).length;
        return recorded;
      };
      const message = 'x'.repeat(1_000);
      for (let i = 1; i <= 100; i++) await send(nodes[1], 'a', i, message);
      await sleep(50);
      expect(characters).toBeLessThan(600_000);
    });

    it('close a session if messages that waited for others were lost with the data of the engine', async () => {
      const { nodes, closes } = await startRecording(2, { reorderTimeout: 60_000 });
      await openSession(nodes[0], 'a');
      const message = 'x'.repeat(1_000);
      for (let i = 1; i <= 50; i++) await send(nodes[1], 'a', i, message);
      await sleep(50);
      await clear();
      await waitFor(() => closes.length === 1);
      expect(closes).toEqual([[1011, 'acknowledged messages were lost']]);
    }, 20_000);

    it('keep all that waits for a missing message at a heartbeat', async () => {
      const { nodes, received } = await startRecording(2, { heartbeatInterval: 200 });
      await openSession(nodes[0], 'a');
      const message = 'x'.repeat(1_000);
      for (let i = 1; i <= 50; i++) await send(nodes[1], 'a', i, message);
      await sleep(300);
      await clear();
      expect((await send(nodes[1], 'a', 0, 'first')).json).toEqual({ received: 51 });
      await waitFor(() => received.length === 51);
    }, 20_000);

    it('leave nothing of a session in the engine, although its removal was lost', async () => {
      const { nodes } = await startRecording(2, { reorderTimeout: 100, reconnectTimeout: 0 });
      const lost = ['remove', 'remove'];
      for (const { engine } of nodes) {
        engine.fault = (method) => (method === lost.at(-1) && lost.pop() ? 'lose' : 'none');
      }
      const { stream } = await openSession(nodes[0], 'a');
      await openSession(nodes[0], 'b');
      await send(nodes[1], 'a', 0, 'first');
      await send(nodes[1], 'a', 2, 'third');
      await send(nodes[1], 'b', 1, 'second');
      expect(await stream.take()).toEqual({ event: 'control', data: 'close' });
      let count = -1;
      for (let i = 0; i < 100 && count !== 0; i++) {
        await sleep(20);
        count = await countSessions();
      }
      expect([count, lost]).toEqual([0, []]);
    });

    it('keep a session with the id of an earlier one whose removal is repeated', async () => {
      const { nodes, received } = await startRecording(1);
      const [node] = nodes;
      let removals = 0;
      let isOpen = false;
      node!.engine.fault = (method) => {
        if (method !== 'remove') return 'none';
        if (removals++ === 0) return 'lose-reply';
        return isOpen ? 'none' : 'lose';
      };
      const { stream } = await openSession(node, 'a');
      node!.connections[0]!.close();
      expect(await stream.take()).toEqual({ event: 'control', data: 'close' });
      await waitFor(() => removals > 0);
      await openSession(node, 'a');
      isOpen = true;
      const repeated = removals + 1;
      await waitFor(() => removals >= repeated);
      expect((await send(node, 'a', 0, 'first')).status).toBe(200);
      await waitFor(() => received.length === 1);
      expect(await countSessions()).toBe(1);
    });

    it('open the next session of a client whose messages the application still handles', async () => {
      const received: unknown[] = [];
      let handle = () => {};
      const nodes = await startNodes(
        2,
        (connection, node) => {
          connection.on('message', (message, { redelivered }): unknown => {
            received.push([nodes.indexOf(node), message, redelivered]);
            return new Promise<void>((resolve) => (handle = resolve));
          });
        },
        { reconnectTimeout: 100 },
      );
      const { stream } = await openSession(nodes[0], 'a');
      await send(nodes[0], 'a', 0, 'slow');
      stream.cut();
      await waitFor(() => nodes[0]!.connections[0]!.readyState === 3);
      const elsewhere = await open(nodes[1], 'a');
      expect(await elsewhere.take()).toEqual({ retry: '1000' });
      await openSession(nodes[0], 'a');
      handle();
      await send(nodes[1], 'a', 1, 'next');
      await waitFor(() => received.length === 2);
      expect(received).toEqual([
        [0, 'slow', false],
        [0, 'next', false],
      ]);
      expect(await countSessions()).toBe(1);
    });

    it('reject a message of the Dart dialect for a duplex session, and of another principal', async () => {
      const authorize = ({ headers }: { headers: Record<string, unknown> }) =>
        typeof headers['x-user'] === 'string' ? headers['x-user'] : 'anna';
      const { nodes, received } = await startRecording(2, { authorize });
      await openDuplex(nodes[0]!.url, 'duplex');
      await openSession(nodes[0], 'dart');
      const other = { 'x-user': 'ben' };
      const statuses = [
        (await send(nodes[1], 'duplex', 0, 'x')).status,
        (await post(addressOf(nodes[1]!.url, 'dart', 0), '1', other)).status,
        (await post(addressOf(nodes[1]!.url, 'duplex'), '{"no":"envelope"}')).status,
      ];
      // 503 while the engine is new
      expect([404, 503]).toContain(statuses[0]);
      expect([404, 503]).toContain(statuses[1]);
      expect(statuses[2]).toBe(400);
      expect(received).toEqual([]);
    }, 30_000);
  });
}
