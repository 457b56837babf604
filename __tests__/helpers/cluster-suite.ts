import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SseClient, SseClientOptions } from '../../lib/client/index';
import { addressOf, openDuplex } from './channel';
import { eventsOf, messagesOf, next, openClient } from './client';
import type { NodeConnection } from './cluster';
import { turn } from './fake-timeouts';
import type { EngineFault } from './faulty-engine';
import { useFaultyNodes } from './faulty-nodes';
import type { EngineSource, FaultyNode } from './faulty-nodes';
import { openStream, post } from './http';
import { onTestFinished } from './on-test-finished';
import { createRandom } from './random';
import { catchUncaught } from './uncaught';
import { waitFor } from './wait-for';

/** Sends each GET to one node and each POST to another. */
interface Route {
  get: number;
  post: number;
}

/** Defines the tests that every engine has to pass. */
export function describeCluster(name: string, openSource: () => Promise<EngineSource>): void {
  describe(`Several nodes that share ${name}`, () => {
    const { startNodes, source } = useFaultyNodes(openSource);

    function connect(nodes: FaultyNode[], route: Route): SseClient {
      const fetchRouted: NonNullable<SseClientOptions['fetch']> = (target, init) => {
        const url = new URL(target);
        url.port = String(nodes[init.method === 'POST' ? route.post : route.get]?.port);
        return fetch(url, init);
      };
      return openClient(nodes[0]!.url, { fetch: fetchRouted });
    }

    const echo = (connection: NodeConnection) => {
      connection.on('message', (message) => connection.send({ echo: message }));
    };

    it('carry a session whose POSTs reach another node than its stream', async () => {
      const nodes = await startNodes(2, echo);
      const client = connect(nodes, { get: 0, post: 1 });
      const messages = messagesOf(client);
      for (const message of ['a', 'b', 'c']) client.send(message);
      await waitFor(() => messages.length === 3);
      client.send('d');
      await waitFor(() => messages.length === 4);
      expect(messages).toEqual(['a', 'b', 'c', 'd'].map((message) => ({ echo: message })));
      expect(nodes.map(({ connections }) => connections.length)).toEqual([1, 0]);
    });

    it('carry binary messages to and from a session of any node, and to the next one', async () => {
      const received: unknown[] = [];
      const nodes = await startNodes(2, (connection) => {
        connection.on('message', (message) => {
          received.push(message);
          connection.send(message);
        });
      });
      const route = { get: 0, post: 1 };
      const client = connect(nodes, route);
      const messages = messagesOf(client);
      await next(client, 'open');
      client.send(Uint8Array.of(1, 2));
      client.send('text');
      await waitFor(() => messages.length === 2);
      nodes[1]!.sse.broadcast(Uint8Array.of(3));
      nodes[1]!.sse.session(nodes[0]!.connections[0]!.id).send(Uint8Array.of(4));
      await waitFor(() => messages.length === 4);
      nodes[0]!.kill();
      route.get = 1;
      nodes[1]!.sse.broadcast(Uint8Array.of(5));
      await waitFor(() => messages.length === 5);
      const bytes = messages.map((each) => Buffer.from(each as ArrayBuffer));
      expect(received).toEqual([Buffer.of(1, 2), 'text']);
      expect([bytes[0], ...bytes.slice(2)]).toEqual(
        [[1, 2], [3], [4], [5]].map((each) => Buffer.from(each)),
      );
      expect(messages[1]).toBe('text');
    });

    it('take a session over with its rooms and its state, but not with its data', async () => {
      const moved: NodeConnection[] = [];
      const nodes = await startNodes(2, (connection) => {
        connection.on('moved', () => moved.push(connection));
      });
      const route = { get: 0, post: 0 };
      const client = connect(nodes, route);
      await next(client, 'open');
      const [first] = nodes[0]!.connections as [NodeConnection];
      first.join('board');
      first.join('chat');
      first.leave('chat');
      first.state = { seen: 1 };
      first.data = 'local';
      const closes: unknown[] = [];
      first.on('close', () => closes.push('close'));
      await sleep(50);

      route.get = route.post = 1;
      nodes[0]!.server.closeAllConnections();
      await next(client, 'reconnect');
      await waitFor(() => moved.length === 1);
      const [second] = nodes[1]!.connections as [NodeConnection];
      expect([first.recovered, second.recovered]).toEqual([false, true]);
      expect([second.rooms, second.state, second.data]).toEqual([
        ['board'],
        { seen: 1 },
        undefined,
      ]);
      expect([first.readyState, second.readyState, closes]).toEqual([3, 1, []]);
      expect(first.send('x')).toBe(false);
      const messages = messagesOf(client);
      nodes[0]!.sse.to('board').send('to the board');
      await waitFor(() => messages.length === 1);
      expect(messages).toEqual(['to the board']);
    });

    it('send to rooms, to all and to one session of any node, each message once and in the order of the sender', async () => {
      const nodes = await startNodes(2, (connection) => connection.join('all'));
      const clients = [connect(nodes, { get: 0, post: 0 }), connect(nodes, { get: 1, post: 1 })];
      const messages = clients.map(messagesOf);
      await waitFor(() => nodes.every(({ connections }) => connections.length === 1));
      const [a, b] = nodes.map(({ connections }) => connections[0]!) as [
        NodeConnection,
        NodeConnection,
      ];
      const [{ sse }] = nodes as [FaultyNode];
      sse.broadcast(1);
      a.send('direct');
      sse.to('all').send(2, { except: a });
      sse.session(b.id).send('to b');
      sse.session('nobody').send('lost');
      sse.to('all').send(3);
      await waitFor(() => messages.every((list) => list.at(-1) === 3));
      expect(messages).toEqual([
        [1, 'direct', 3],
        [1, 2, 'to b', 3],
      ]);
    });

    it('close the members of a room and one session at any node, after what was sent before', async () => {
      const nodes = await startNodes(2, (connection) => connection.join('all'));
      const clients = [0, 1, 1].map((node) => connect(nodes, { get: node, post: node }));
      const messages = clients.map(messagesOf);
      const closes = clients.map((client) => next(client, 'close'));
      await Promise.all(clients.map((client) => next(client, 'open')));
      const [{ sse }] = nodes as [FaultyNode];
      const [spared] = nodes[1]!.connections as [NodeConnection];
      sse.to('all').send('last');
      sse.to('all').close(4001, 'signed out', { except: spared });
      await waitFor(() => clients.filter(({ readyState }) => readyState === 3).length === 2);
      expect(spared.readyState).toBe(1);
      sse.session('nobody').close();
      sse.session(spared.id).close(4002, 'replaced');
      const ends = (await Promise.all(closes)).map(({ code, reason }) => `${code} ${reason}`);
      expect(ends.sort()).toEqual(['4001 signed out', '4001 signed out', '4002 replaced']);
      expect(messages).toEqual([['last'], ['last'], ['last']]);
      expect(() => sse.to('all').close(1006)).toThrow(RangeError);
      expect(() => sse.session('a').close(1006)).toThrow(RangeError);
    });

    it('close a session after the broadcasts and the messages that were sent before', async () => {
      const results: unknown[] = [];
      const nodes = await startNodes(1, (connection) => {
        connection.join('room');
        connection.on('message', () => {
          nodes[0]!.sse.to('room').send('broadcast');
          connection.send('message');
          connection.close(4001, 'done');
          results.push(connection.readyState, connection.send('late'));
        });
        connection.on('close', (code, reason, { unacknowledged }) => {
          results.push([code, reason, unacknowledged]);
        });
      });
      nodes[0]!.engine.delay = () => 20; // the broadcast arrives after the end of the turn
      const client = connect(nodes, { get: 0, post: 0 });
      const messages = messagesOf(client);
      const closed = next(client, 'close');
      client.send('go');
      const { code, reason, wasClean } = await closed;
      expect([messages, code, reason, wasClean]).toEqual([
        ['broadcast', 'message'],
        4001,
        'done',
        true,
      ]);
      await waitFor(() => results.length === 3);
      expect(results).toEqual([2, false, [4001, 'done', []]]);
    });

    it('number the messages of a session that is closing in the same way after it has moved', async () => {
      const nodes = await startNodes(2);
      const [first, second] = nodes as [FaultyNode, FaultyNode];
      const { token, stream } = await openDuplex(first.url, 'a');
      const [connection] = first.connections as [NodeConnection];
      let isCloseRecorded = false;
      const { commit } = first.engine;
      first.engine.commit = async (...values) => {
        const result = await commit(...values);
        isCloseRecorded ||= values[2].close !== undefined;
        return result;
      };
      first.engine.delay = () => 20;
      first.sse.broadcast('broadcast');
      connection.send('message');
      connection.close(4001, 'done');
      expect(await stream.takeData()).toBe('broadcast');
      expect(await stream.takeData()).toBe('message');
      await waitFor(() => isCloseRecorded);
      first.kill();
      const resumed = await openStream(`${addressOf(second.url, 'a')}&sseProtocol=2`, {
        'Last-Event-ID': `${token}.2`,
      });
      await resumed.takeData(); // hello
      expect(await resumed.takeData()).toEqual({ code: 4001, reason: 'done' });
    });

    it('close all sessions of a node after the broadcasts that were sent before', async () => {
      const closes: unknown[] = [];
      const [node] = (await startNodes(1, (connection) => {
        connection.on('close', (code, _reason, { unacknowledged }) => {
          closes.push([connection.id, code, unacknowledged]);
        });
      })) as [FaultyNode];
      const connected = await openDuplex(node.url, 'connected');
      const away = await openDuplex(node.url, 'away');
      away.stream.cut();
      await waitFor(() => !node.connections[1]!.connected);
      node.engine.delay = () => 20;
      node.sse.broadcast('last');
      const closing = node.sse.close(1001);
      expect(await connected.stream.takeData()).toBe('last');
      const end = (await connected.stream.takeData()) as { code: number; reason: string };
      expect(end).toEqual({ code: 1001, reason: '' });
      await connected.post({ ack: 1, close: end });
      await closing;
      expect(closes).toEqual([
        ['away', 1001, ['last']],
        ['connected', 1001, []],
      ]);
    });

    it('send nothing to a session after a broadcast that closes it', async () => {
      const closes: unknown[] = [];
      const [node] = (await startNodes(1, (connection) => {
        connection.join('room');
        connection.on('close', (code, _reason, { unacknowledged }) => {
          closes.push([code, unacknowledged]);
        });
      })) as [FaultyNode];
      const { stream, post: send } = await openDuplex(node.url, 'a');
      const [connection] = node.connections as [NodeConnection];
      connection.send('before');
      expect(await stream.takeData()).toBe('before');
      node.sse.to('room').close(4001, 'signed out');
      connection.close(4002, 'late');
      node.sse.broadcast('late');
      const end = (await stream.takeData()) as { code: number; reason: string };
      expect(end).toEqual({ code: 4001, reason: 'signed out' });
      await send({ ack: 1, close: end });
      await waitFor(() => closes.length === 1);
      expect(closes).toEqual([[4001, []]]);
    });

    it('close a session whose node is killed before it has recorded the close', async () => {
      const nodes = await startNodes(2, (connection) => connection.join('all'));
      const [first, second] = nodes as [FaultyNode, FaultyNode];
      const route = { get: 0, post: 0 };
      const client = connect(nodes, route);
      const messages = messagesOf(client);
      const closed = next(client, 'close');
      await next(client, 'open');
      second.sse.to('all').send('sent');
      await waitFor(() => messages.length === 1); // the room is recorded
      first.engine.fault = (method) => (method === 'commit' ? 'lose' : 'none');
      const [connection] = first.connections as [NodeConnection];
      connection.send('not recorded'); // holds the close event back
      second.sse.to('all').close(4001, 'signed out');
      await waitFor(() => connection.readyState === 2);
      route.get = route.post = 1;
      first.kill();
      const { code, reason, wasClean } = await closed;
      expect([code, reason, wasClean]).toEqual([4001, 'signed out', true]);
      expect(messages).toEqual(['sent']);
      await waitForAsync(async () => (await source().countSessions()) === 0);
    });

    it('reject a broadcast with a filter', async () => {
      const [{ sse }] = (await startNodes(1)) as [FaultyNode];
      expect(() => sse.broadcast('x', () => true)).toThrow(/^with the option "cluster", broadcast/);
    });

    it('reject POSTs with another principal or token, and streams without a token, at every node', async () => {
      const authorize = ({ headers }: { headers: Record<string, unknown> }) =>
        String(headers['x-user']);
      const nodes = await startNodes(2, echo, { authorize });
      const [first, second] = nodes as [FaultyNode, FaultyNode];
      const { token } = await openDuplex(first.url, 'a', { 'x-user': 'anna' });
      const send = (url: string, user: string, ownToken = token) =>
        post(
          addressOf(url, 'a'),
          JSON.stringify({ token: ownToken, id: 0, ack: 0, messages: ['x'] }),
          { 'x-user': user },
        );
      for (const { url } of [first, second]) {
        const { status: ofOther } = await send(url, 'ben');
        const { status: ofWrongToken } = await send(url, 'anna', 'wrong');
        for (const status of [ofOther, ofWrongToken]) expect([404, 503]).toContain(status); // 503 while the engine is new
      }
      expect((await send(second.url, 'anna')).json).toEqual({ received: 1 });
      expect(first.connections).toHaveLength(1);
      expect(second.connections).toHaveLength(0);
      const conflict = await fetch(`${addressOf(second.url, 'a')}&sseProtocol=2`, {
        headers: { 'x-user': 'anna' },
      });
      expect(conflict.status).toBe(409);
    });

    it('end a session that its client closes at another node', async () => {
      const closes: unknown[] = [];
      const received: unknown[] = [];
      const nodes = await startNodes(2, (connection) => {
        connection.on('message', (message) => received.push(message));
        connection.on('close', (code, reason) => closes.push([code, reason]));
      });
      const client = connect(nodes, { get: 0, post: 1 });
      await next(client, 'open');
      client.send('last');
      client.close(4000, 'done');
      const { code, wasClean, unacknowledged } = await next(client, 'close');
      expect([code, wasClean, unacknowledged]).toEqual([4000, true, []]);
      await waitFor(() => closes.length === 1);
      expect([closes, received]).toEqual([[[4000, 'done']], ['last']]);
      await waitForAsync(async () => (await source().countSessions()) === 0);
    });

    it('report how a client closed its session if the node is killed before it has recorded the end', async () => {
      const closes: unknown[] = [];
      const nodes = await startNodes(2, (connection, node) => {
        connection.on('close', (code, reason) => closes.push([nodes.indexOf(node), code, reason]));
      });
      const [first] = nodes as [FaultyNode];
      const client = connect(nodes, { get: 0, post: 0 });
      await next(client, 'open');
      await sleep(50); // everything is recorded
      first.engine.fault = (method) => (method === 'take' ? 'none' : 'lose');
      first.engine.isPublished = () => false;
      client.close(4000, 'done');
      await next(client, 'close');
      first.kill();
      await waitFor(() => closes.length === 1, 10_000);
      expect(closes).toEqual([[1, 4000, 'done']]);
    }, 20_000);

    it('deliver again what a killed node had not handled of a session that is closed, and then its close', async () => {
      const log: unknown[] = [];
      const nodes = await startNodes(2, (connection, node) => {
        const at = nodes.indexOf(node);
        connection.on('message', (message, { redelivered }): unknown => {
          log.push([at, message, redelivered]);
          return at === 0 ? new Promise(() => {}) : undefined;
        });
        connection.on('close', (code) => log.push([at, code]));
      });
      const client = connect(nodes, { get: 0, post: 0 });
      await next(client, 'open');
      client.send('a');
      client.close(4000, 'done');
      await waitFor(() => log.length === 2);
      await sleep(50); // the close is recorded
      nodes[0]!.kill();
      await waitFor(() => log.length === 4, 10_000);
      expect(log).toEqual([
        [0, 'a', false],
        [0, 4000],
        [1, 'a', true],
        [1, 4000],
      ]);
      await waitForAsync(async () => (await source().countSessions()) === 0);
    }, 20_000);

    /** Opens a session that ends while the application still handles its message. */
    async function openAndEnd() {
      const log: unknown[] = [];
      let handle = () => {};
      const nodes = await startNodes(
        2,
        (connection, node) => {
          connection.on('message', (message, { redelivered }): unknown => {
            log.push([nodes.indexOf(node), message, redelivered]);
            return new Promise<void>((resolve) => (handle = resolve));
          });
          connection.on('close', (code) => log.push([nodes.indexOf(node), code]));
        },
        { reconnectTimeout: 100 },
      );
      const client = await openDuplex(nodes[0]!.url, 'a');
      await client.post({ messages: ['m'] });
      client.stream.cut();
      await waitFor(() => log.length === 2);
      const returnTo = (node: number) =>
        openStream(`${addressOf(nodes[node]!.url, 'a')}&sseProtocol=2`, {
          'Last-Event-ID': `${client.token}.0`,
        });
      const expectDeliveredOnce = async () => {
        handle();
        expect(log).toEqual([
          [0, 'm', false],
          [0, 1006],
        ]);
        await waitForAsync(async () => (await source().countSessions()) === 0);
      };
      return { nodes, returnTo, expectDeliveredOnce };
    }

    it.each([0, 1])(
      'do not deliver the messages of an ended session again if its client returns to node %i',
      async (node) => {
        const { returnTo, expectDeliveredOnce } = await openAndEnd();
        expect((await returnTo(node)).status).toBe(404);
        await expectDeliveredOnce();
      },
    );

    it('do not adopt a session that has ended at the same node', async () => {
      const { nodes, returnTo, expectDeliveredOnce } = await openAndEnd();
      let finds = 0;
      nodes[0]!.engine.fault = (method) => (method === 'find' && finds++ === 0 ? 'lose' : 'none');
      expect((await returnTo(0)).status).toBe(503); // the node looks the session up again
      await waitFor(() => finds === 2, 5_000);
      await sleep(50);
      await expectDeliveredOnce();
    });

    it('close the session of a client that polls and does not return', async () => {
      const closes: unknown[] = [];
      const [node] = await startNodes(
        1,
        (connection) => connection.on('close', (code) => closes.push(code)),
        { heartbeatInterval: 50, reconnectTimeout: 100 },
      );
      const poll = await openStream(`${addressOf(node!.url, 'a')}&sseProtocol=2&ssePoll=1`);
      expect(await poll.ended).toBe('ended');
      await waitFor(() => closes.length === 1);
      expect(closes).toEqual([1006]);
    });

    it('end the stream of a client that sends nothing for too long', async () => {
      const [node] = await startNodes(1, () => {}, { heartbeatInterval: 20 });
      const { stream } = await openDuplex(node!.url, 'a');
      await stream.ended;
      await waitFor(() => !node!.connections[0]!.connected);
      expect(node!.connections[0]!.readyState).toBe(1);
    });

    it('keep the stream of a client whose POSTs reach another node', async () => {
      const nodes = await startNodes(2, () => {}, { heartbeatInterval: 20 });
      const { stream, token } = await openDuplex(nodes[0]!.url, 'a');
      const body = JSON.stringify({ token, id: 0, ack: 0, messages: [] });
      for (let i = 0; i < 20; i++) {
        await sleep(20);
        expect((await post(addressOf(nodes[1]!.url, 'a'), body)).status).toBe(200);
      }
      expect(nodes[0]!.connections[0]!.connected).toBe(true);
      stream.cut();
    });

    it('deliver no message after the close of a session that has exceeded a limit', async () => {
      const log: unknown[] = [];
      const nodes = await startNodes(
        2,
        (connection) => {
          connection.on('message', (message) => log.push(message));
          connection.on('close', (code) => log.push(code));
        },
        { maxBufferedAmount: 100 },
      );
      const { token } = await openDuplex(nodes[0]!.url, 'a');
      const { engine } = nodes[0]!;
      const commits: (() => void)[] = [];
      const { commit } = engine;
      engine.commit = async (...values) => {
        await new Promise<void>((resolve) => commits.push(resolve));
        return commit.apply(engine, values);
      };
      nodes[0]!.connections[0]!.send('x'.repeat(200));
      expect(log).toEqual([1008]);
      const body = JSON.stringify({ token, id: 0, ack: 0, messages: ['late'] });
      expect((await post(addressOf(nodes[1]!.url, 'a'), body)).status).toBe(200);
      engine.commit = commit;
      for (const resolve of commits) resolve();
      await sleep(50);
      expect(log).toEqual([1008]);
    });

    it('acknowledge nothing that the engine has not recorded when the client answers a close', async () => {
      const received: unknown[] = [];
      const [node] = (await startNodes(
        1,
        (connection) => connection.on('message', (message) => received.push(message)),
        { maxBufferedAmount: 100 },
      )) as [FaultyNode];
      const client = await openDuplex(node.url, 'a');
      node.engine.fault = (method) => (method === 'commit' ? 'lose' : 'none');
      const rejected = client.post({ messages: ['a'] });
      await waitFor(() => received.length === 1);
      node.connections[0]!.send('x'.repeat(200)); // exceeds the limit
      const answer = await client.post({ messages: ['a'], close: { code: 1008, reason: '' } });
      expect([answer.status, answer.json]).toEqual([200, { received: 0, closed: true }]);
      node.engine.fault = () => 'none';
      await rejected;
    });

    it('end the stream, and fail the sink, of a connection whose session has moved', async () => {
      const nodes = await startNodes(2, () => {}, { highWaterMark: 1 });
      const route = { get: 0, post: 0 };
      const client = connect(nodes, route);
      await next(client, 'open');
      const [connection] = nodes[0]!.connections as [NodeConnection];
      const reading = connection.stream.getReader().read();
      const writer = connection.sink.getWriter();
      nodes[0]!.engine.fault = (method) => (method === 'commit' ? 'lose' : 'none');
      const writing = writer.write('waits for "drain"');
      route.get = route.post = 1;
      nodes[0]!.server.closeAllConnections();
      await next(client, 'reconnect');
      expect(await reading).toEqual({ done: true, value: undefined });
      await writing;
      await expect(writer.closed).rejects.toThrow('the session has moved to another node');
    });

    /** Opens a session at the first of two nodes that fails there, and whose client returns at the second one. */
    async function failAndReturn(
      accept: (connection: NodeConnection) => void,
      messages: unknown[],
    ) {
      const events: string[] = [];
      const nodes = await startNodes(
        2,
        (connection) => {
          if (connection.recovered) return;
          for (const event of ['close', 'moved'] as const) {
            connection.on(event, () => events.push(event));
          }
          accept(connection);
        },
        { maxBufferedAmount: 100 },
      );
      const client = await openDuplex(nodes[0]!.url, 'a');
      await client.post({ messages });
      const [connection] = nodes[0]!.connections as [NodeConnection];
      connection.send('x'.repeat(200)); // exceeds the limit
      const stream = await openStream(`${addressOf(nodes[1]!.url, 'a')}&sseProtocol=2`, {
        'Last-Event-ID': `${client.token}.0`,
      });
      expect(await stream.takeData()).toMatchObject({ resumed: true });
      expect(await stream.takeData()).toMatchObject({ code: 1008 });
      return { connection, events };
    }

    it('end a stream once, and emit no "moved" after "close", if a failed session moves', async () => {
      const uncaught = catchUncaught();
      const read: unknown[] = [];
      const { events } = await failAndReturn((connection) => {
        const reader = connection.stream.getReader();
        void reader.read().then((result) => read.push(result));
      }, []);
      await waitFor(() => read.length === 1);
      expect(read).toEqual([{ done: true, value: undefined }]);
      expect([events, uncaught]).toEqual([['close'], []]);
    });

    it('emit no "close" after "moved" if a failed session moves with messages that were not read', async () => {
      const { connection, events } = await failAndReturn(() => {}, ['unread']);
      expect(events).toEqual(['moved']);
      const received: unknown[] = [];
      connection.on('message', (message) => received.push(message));
      connection.resume();
      await turn();
      expect([events, received]).toEqual([['moved'], []]);
    });

    it('leave no room with a connection that was closed before its join took effect', async () => {
      const [node] = (await startNodes(1)) as [FaultyNode];
      const client = connect([node], { get: 0, post: 0 });
      await next(client, 'open');
      const [connection] = node.connections as [NodeConnection];
      node.engine.fault = (method) => (method === 'broadcast' ? 'lose' : 'none');
      node.sse.broadcast('first');
      connection.join('board'); // takes effect after the broadcast
      const closed = next(client, 'close');
      client.close();
      await closed;
      const other = connect([node], { get: 0, post: 0 });
      const messages = messagesOf(other);
      await next(other, 'open');
      node.engine.fault = () => 'none';
      await waitFor(() => messages.length === 1);
      expect([connection.readyState, connection.rooms]).toEqual([3, []]);
    });

    it('keep a session of a client that reconnects while it is written into a new engine', async () => {
      const [node] = (await startNodes(1, echo)) as [FaultyNode];
      const { token } = await openDuplex(node.url, 'a');
      const [connection] = node.connections as [NodeConnection];
      for (let i = 0; i < 3; i++) connection.send(i);
      await sleep(50); // all of it is written
      const { restore } = node.engine;
      const restored: (() => void)[] = [];
      node.engine.restore = async (...values) => {
        await restore.apply(node.engine, values);
        await new Promise<void>((resolve) => restored.push(resolve));
      };
      await source().clear();
      await waitFor(() => restored.length === 1, 3_000);
      const stream = await openStream(`${addressOf(node.url, 'a')}&sseProtocol=2`, {
        'Last-Event-ID': `${token}.3`,
      });
      for (const resolve of restored) resolve();
      expect([stream.status, await stream.takeData()]).toMatchObject([
        200,
        { resumed: true, sent: 3 },
      ]);
    });

    it('send the close of a session to its client at another node', async () => {
      const nodes = await startNodes(2);
      const route = { get: 0, post: 0 };
      const client = connect(nodes, route);
      const messages = messagesOf(client);
      await next(client, 'open');
      const [connection] = nodes[0]!.connections as [NodeConnection];
      const closed = next(client, 'close');
      connection.send('before');
      await waitFor(() => messages.length === 1);
      route.get = route.post = 1;
      nodes[0]!.server.closeAllConnections();
      connection.close(4001, 'go away');
      const { code, reason } = await closed;
      expect([code, reason]).toEqual([4001, 'go away']);
      await waitForAsync(async () => (await source().countSessions()) === 0);
    });

    it('deliver again only what a killed node had not handled', async () => {
      const log: unknown[] = [];
      let killAt: unknown = 'b';
      const nodes = await startNodes(2, (connection, node) => {
        connection.on('message', (message, { number, redelivered }) => {
          log.push([message, number, redelivered]);
          connection.state = [...((connection.state ?? []) as unknown[]), message];
          connection.send({ echo: message });
          if (message !== killAt) return;
          killAt = undefined;
          route.get = route.post = 1;
          node.kill();
        });
      });
      const route = { get: 0, post: 0 };
      const client = connect(nodes, route);
      const messages = messagesOf(client);
      const lost = eventsOf(client, 'sessionlost');
      await next(client, 'open');
      client.send('a');
      await waitFor(() => messages.length === 1);
      client.send('b');
      client.send('c');
      await waitFor(() => messages.length === 3);
      expect(messages).toEqual(['a', 'b', 'c'].map((message) => ({ echo: message })));
      expect(lost).toEqual([]);
      const ofB = log.filter((each) => JSON.stringify(each).includes('"b"'));
      expect(ofB).toEqual([
        ['b', 1, false],
        ['b', 1, true],
      ]);
      expect(nodes[1]!.connections[0]!.state).toEqual(['a', 'b', 'c']);
    });

    it('deliver as redelivered only the first POST after a killed node, and none after an orderly handover', async () => {
      const log: unknown[] = [];
      const nodes = await startNodes(3, (connection, node) => {
        connection.on('message', (message, { redelivered }) => {
          log.push([nodes.indexOf(node), message, redelivered]);
        });
      });
      const route = { get: 0, post: 0 };
      const client = connect(nodes, route);
      await next(client, 'open');
      const sendTo = async (node: number, message: string) => {
        route.get = route.post = node;
        if (node === 1) nodes[0]!.server.closeAllConnections();
        if (node === 2) nodes[1]!.kill();
        await next(client, 'reconnect');
        for (const each of [message, `${message}, second`]) {
          client.send(each);
          await waitFor(() => client.bufferedAmount === 0);
        }
      };
      await sendTo(1, 'handed over');
      await sendTo(2, 'killed');
      await waitFor(() => log.length === 4);
      expect(log).toEqual([
        [1, 'handed over', false],
        [1, 'handed over, second', false],
        [2, 'killed', true],
        [2, 'killed, second', false],
      ]);
    });

    it('adopt again a session that its owner has given up, and that no other node has claimed', async () => {
      const closes: unknown[] = [];
      const received: unknown[] = [];
      const nodes = await startNodes(
        2,
        (connection) => {
          connection.on('message', (message) => received.push(message));
          connection.on('close', (code) => closes.push(code));
        },
        { reconnectTimeout: 100 },
      );
      const { token, stream } = await openDuplex(nodes[0]!.url, 'x');
      nodes[0]!.engine.fault = (method) => (/^(commit|take)$/.test(method) ? 'lose' : 'none');
      const body = JSON.stringify({ token, id: 0, ack: 0, messages: ['a'] });
      const rejected = post(addressOf(nodes[0]!.url, 'x'), body);
      await waitFor(() => received.length === 1);
      nodes[1]!.engine.fault = (method) => (method === 'claim' ? 'lose' : 'none');
      const headers = { 'Last-Event-ID': `${token}.0` };
      const refused = await openStream(`${addressOf(nodes[1]!.url, 'x')}&sseProtocol=2`, headers);
      expect([refused.status, (await rejected).status]).toEqual([503, 503]);
      await stream.ended;
      nodes[0]!.engine.fault = () => 'none';
      await waitFor(() => closes.length === 1);
      expect(closes).toEqual([1006]);
      await waitForAsync(async () => (await source().countSessions()) === 0);
    });

    it('deliver as redelivered what a node delivered that was shut down before the engine recorded it', async () => {
      const log: unknown[] = [];
      const nodes = await startNodes(
        2,
        (connection, node) =>
          connection.on('message', (message, { redelivered }) => {
            log.push([nodes.indexOf(node), message, redelivered]);
          }),
        { reconnectJitter: 1 },
      );
      const { token } = await openDuplex(nodes[0]!.url, 'x');
      const body = JSON.stringify({ token, id: 0, ack: 0, messages: ['a'] });
      nodes[0]!.engine.fault = (method) => (/^(commit|take)$/.test(method) ? 'lose' : 'none');
      const rejected = post(addressOf(nodes[0]!.url, 'x'), body);
      await waitFor(() => log.length === 1);
      await nodes[0]!.sse.close();
      expect((await rejected).status).toBe(503);
      await openStream(`${addressOf(nodes[1]!.url, 'x')}&sseProtocol=2`, {
        'Last-Event-ID': `${token}.0`,
      });
      await post(addressOf(nodes[1]!.url, 'x'), body);
      expect(log).toEqual([
        [0, 'a', false],
        [1, 'a', true],
      ]);
    });

    it('deliver at the next node, as redelivered, what was recorded and not handled', async () => {
      const log: unknown[] = [];
      const nodes = await startNodes(2, (connection, node) => {
        if (node === nodes[0]) return; // nobody listens here
        connection.on('message', (message, details) => log.push([message, details]));
      });
      const route = { get: 0, post: 0 };
      const client = connect(nodes, route);
      await next(client, 'open');
      client.send('a');
      client.send('b');
      await waitFor(() => client.bufferedAmount === 0);
      route.get = route.post = 1;
      nodes[0]!.kill();
      await waitFor(() => log.length === 2);
      expect(log).toEqual([
        ['a', { number: 0, redelivered: true }],
        ['b', { number: 1, redelivered: true }],
      ]);
    });

    it('record for the next owner of a session a POST that waits at the previous one', async () => {
      const received: unknown[] = [];
      const nodes = await startNodes(
        2,
        (connection, node) => {
          if (node === nodes[0]) return; // nobody listens here
          connection.on('message', (message) => received.push(message));
        },
        { highWaterMark: 1 },
      );
      const { token, post: send } = await openDuplex(nodes[0]!.url, 'a');
      await send({ messages: ['a'] });
      const waiting = send({ id: 1, messages: ['b'] });
      await sleep(50);
      await openStream(`${addressOf(nodes[1]!.url, 'a')}&sseProtocol=2`, {
        'Last-Event-ID': `${token}.0`,
      });
      expect((await waiting).json).toEqual({ received: 2 });
      await waitFor(() => received.length === 2);
      expect(received).toEqual(['a', 'b']);
    });

    it.each([
      ['follows messages', { id: 1, ack: 0 }],
      ['acknowledges a message', { id: 0, ack: 1 }],
    ])(
      'record for the owner of a session a POST that %s that the previous owner does not know',
      async (_, counts) => {
        const received: unknown[] = [];
        const nodes = await startNodes(2, (connection) => {
          connection.on('message', (message) => received.push(message));
        });
        const [first, second] = nodes as [FaultyNode, FaultyNode];
        const { token, post: sendToFirst } = await openDuplex(first.url, 'a');
        first.engine.isPublished = () => false; // it does not learn that it has lost the session
        const stream = await openStream(`${addressOf(second.url, 'a')}&sseProtocol=2`, {
          'Last-Event-ID': `${token}.0`,
        });
        await stream.take(); // hello
        second.connections[0]!.send('to the client');
        await stream.take();
        const before = new Array<string>(counts.id).fill('before');
        const body = JSON.stringify({ token, id: 0, ack: 0, messages: before });
        await post(addressOf(second.url, 'a'), body);
        const reply = await sendToFirst({ ...counts, messages: ['x'] });
        expect([reply.status, reply.json]).toEqual([200, { received: counts.id + 1 }]);
        await waitFor(() => received.length === counts.id + 1);
        expect(received).toEqual([...before, 'x']);
      },
    );

    it('wait for an asynchronous listener before they hand a session over', async () => {
      const log: string[] = [];
      const nodes = await startNodes(2, (connection, node) => {
        const handle = async (message: unknown): Promise<void> => {
          const at = String(nodes.indexOf(node));
          log.push(`${at} begins ${String(message)}`);
          await sleep(100);
          connection.send(`${at} has handled ${String(message)}`);
        };
        connection.on('message', (message): unknown => handle(message));
      });
      const route = { get: 0, post: 0 };
      const client = connect(nodes, route);
      const messages = messagesOf(client);
      await next(client, 'open');
      client.send('a');
      await waitFor(() => log.length === 1);
      route.get = route.post = 1;
      nodes[0]!.server.closeAllConnections();
      await waitFor(() => messages.length === 1);
      expect([messages, log]).toEqual([['0 has handled a'], ['0 begins a']]);
    });

    it('hand over what was sent to a connection after a broadcast that is under way', async () => {
      const nodes = await startNodes(2);
      const [first, second] = nodes as [FaultyNode, FaultyNode];
      const route = { get: 0, post: 0 };
      const client = connect(nodes, route);
      const messages = messagesOf(client);
      await next(client, 'open');
      const { broadcast } = first.engine;
      let record = () => {};
      const mayRecord = new Promise<void>((resolve) => (record = resolve));
      first.engine.broadcast = async (...values) => {
        await mayRecord;
        return broadcast(...values);
      };
      second.engine.onApplied = (method) => {
        if (method === 'notify') setImmediate(record); // the first node has received the request to release the session
      };
      first.sse.broadcast('broadcast');
      expect(first.connections[0]!.send('message')).toBe(true);
      route.get = route.post = 1;
      first.server.closeAllConnections();
      await waitFor(() => messages.length === 2);
      expect(messages).toEqual(['broadcast', 'message']);
    });

    it('send nothing more to a connection from the moment its session is released', async () => {
      const nodes = await startNodes(2);
      const [first, second] = nodes as [FaultyNode, FaultyNode];
      const { token } = await openDuplex(first.url, 'a');
      const [connection] = first.connections as [NodeConnection];
      const { release } = first.engine;
      const results: unknown[] = [];
      first.engine.release = (...values) => {
        results.push(connection.send('late'), connection.readyState);
        return release(...values);
      };
      const resumed = await openStream(`${addressOf(second.url, 'a')}&sseProtocol=2`, {
        'Last-Event-ID': `${token}.0`,
      });
      expect([resumed.status, results]).toEqual([200, [false, 3]]);
    });

    it('tell a node that asks for a session when its release, which is in progress, is done', async () => {
      const nodes = await startNodes(2, undefined, { reconnectJitter: 1 });
      const [first, second] = nodes as [FaultyNode, FaultyNode];
      const { token, stream } = await openDuplex(first.url, 'a');
      let hasEnded = false;
      void stream.ended.then(() => (hasEnded = true));
      const { notify, release } = first.engine;
      let continueRelease: (() => void) | undefined;
      first.engine.release = async (...values) => {
        await new Promise<void>((resolve) => (continueRelease = resolve));
        return release(...values);
      };
      const answers: string[] = [];
      first.engine.notify = (nodeId, notification) => {
        answers.push(notification.type);
        return notify(nodeId, notification);
      };
      const closing = first.sse.close();
      await waitFor(() => continueRelease !== undefined);
      let isRequested = false;
      second.engine.onApplied = (method) => {
        isRequested ||= method === 'notify';
      };
      const resuming = openStream(`${addressOf(second.url, 'a')}&sseProtocol=2`, {
        'Last-Event-ID': `${token}.0`,
      });
      await waitFor(() => isRequested);
      expect([hasEnded, answers]).toEqual([false, []]); // the client does not come back before the release
      continueRelease!();
      expect((await resuming).status).toBe(200);
      await closing;
      await waitFor(() => hasEnded);
      expect(answers).toEqual(['released']);
    });

    it('close the sessions of a node that was shut down if their clients do not return, and report what these have not acknowledged', async () => {
      const closes: unknown[] = [];
      const nodes = await startNodes(
        2,
        (connection) =>
          connection.on('close', (code, _, { unacknowledged }) => {
            closes.push([code, unacknowledged]);
          }),
        { reconnectTimeout: 100, reconnectJitter: 1 },
      );
      const { stream, post: send } = await openDuplex(nodes[0]!.url, 'a');
      for (const message of ['a', 'b']) nodes[0]!.connections[0]!.send(message);
      expect([await stream.takeData(), await stream.takeData()]).toEqual(['a', 'b']);
      await send({ ack: 1 });
      await nodes[0]!.sse.close();
      await waitFor(() => closes.length === 1, 10_000);
      expect(closes).toEqual([[1006, ['b']]]);
      await waitForAsync(async () => (await source().countSessions()) === 0);
    }, 15_000);

    it('continue the sessions of a node that is shut down', async () => {
      const closes: unknown[] = [];
      const nodes = await startNodes(
        2,
        (connection) => {
          echo(connection);
          connection.on('close', () => closes.push('close'));
        },
        { reconnectJitter: 100 },
      );
      const route = { get: 0, post: 0 };
      const client = connect(nodes, route);
      const messages = messagesOf(client);
      await next(client, 'open');
      const [lost, ends] = [eventsOf(client, 'sessionlost'), eventsOf(client, 'close')];
      route.get = route.post = 1;
      await nodes[0]!.sse.close();
      await next(client, 'reconnect');
      client.send('x');
      await waitFor(() => messages.length === 1);
      expect([lost, ends, closes]).toEqual([[], [], []]);
    });

    it('leave the cluster, and take no session over any more, when they are closed with another code than 1012', async () => {
      const nodes = await startNodes(
        2,
        (connection) => {
          connection.on('message', (): unknown => new Promise(() => {})); // is never handled
        },
        { drainTimeout: 300 },
      );
      const [first, second] = nodes as [FaultyNode, FaultyNode];
      const own = await openDuplex(first.url, 'own');
      await own.post({ messages: ['x'] });
      const other = await openDuplex(second.url, 'other');
      const end = { code: 1001, reason: '' };
      const closing = first.sse.close(1001);
      expect((await own.stream.take()).event).toBe('close');
      const { stop } = first.engine;
      let stops = 0;
      first.engine.stop = () => {
        stops++;
        return stop();
      };
      await own.post({ id: 1, messages: [], close: end });
      await closing;
      expect(stops).toBe(1);
      const resumed = await openStream(`${addressOf(first.url, 'other')}&sseProtocol=2`, {
        'Last-Event-ID': `${other.token}.0`,
      });
      expect(resumed.status).toBe(503);
      expect(second.connections[0]!.readyState).toBe(1);
      await waitForAsync(async () => (await source().countSessions()) === 1);
    });

    it.each([1001, undefined])(
      'open no session any more that the engine records while they are closed with the code %s',
      async (code) => {
        const [node] = (await startNodes(1, undefined, { drainTimeout: 300 })) as [FaultyNode];
        const { open } = node.engine;
        let answer: (() => void) | undefined;
        node.engine.open = async (...values) => {
          const isOpened = await open(...values);
          await new Promise<void>((resolve) => (answer = resolve));
          return isOpened;
        };
        const opening = openStream(`${addressOf(node.url, 'a')}&sseProtocol=2`);
        await waitFor(() => answer !== undefined);
        const closing = node.sse.close(code);
        answer!();
        await closing;
        expect([(await opening).status, node.connections.length]).toEqual([503, 0]);
        expect([node.sse.connections.size, await source().countSessions()]).toEqual([0, 0]);
      },
    );

    it.each([1001, undefined])(
      'release again a session that they claim while they are closed with the code %s',
      async (code) => {
        const nodes = await startNodes(2, undefined, { drainTimeout: 300, reconnectJitter: 1 });
        const [first, second] = nodes as [FaultyNode, FaultyNode];
        const { token } = await openDuplex(second.url, 'a');
        const { claim } = first.engine;
        let answer: (() => void) | undefined;
        first.engine.claim = async (...values) => {
          const stored = await claim(...values);
          await new Promise<void>((resolve) => (answer = resolve));
          return stored;
        };
        const resume = (node: FaultyNode) =>
          openStream(`${addressOf(node.url, 'a')}&sseProtocol=2`, {
            'Last-Event-ID': `${token}.0`,
          });
        const resuming = resume(first);
        await waitFor(() => answer !== undefined);
        const closing = first.sse.close(code);
        answer!();
        await closing;
        expect([(await resuming).status, first.connections.length]).toEqual([503, 0]);
        expect((await resume(second)).status).toBe(200);
      },
    );

    it('keep the subprotocol of a session that moves, also after the engine has lost all data', async () => {
      const nodes = await startNodes(2);
      for (const { sse } of nodes) sse.handleProtocols = () => 'json.v1';
      const opened = await openStream(`${addressOf(nodes[0]!.url, 'a')}&sseProtocol=2`, {
        'Sse-Subprotocols': 'json.v1',
      });
      const hello = (await opened.takeData()) as { token: string; subprotocol: string };
      const resume = (node: FaultyNode | undefined) =>
        openStream(`${addressOf(node!.url, 'a')}&sseProtocol=2`, {
          'Last-Event-ID': `${hello.token}.0`,
        });
      const moved = await resume(nodes[1]);
      expect(await moved.takeData()).toMatchObject({ resumed: true, subprotocol: 'json.v1' });
      expect(nodes[1]!.connections[0]!.subprotocol).toBe('json.v1');
      await source().clear();
      await waitForAsync(async () => (await source().countSessions()) === 1);
      const again = await resume(nodes[0]);
      expect(await again.takeData()).toMatchObject({ resumed: true, subprotocol: 'json.v1' });
    });

    it('send only JSON to a client that moves and does not accept binary messages', async () => {
      const nodes = await startNodes(2, (connection, node) => {
        if (node === nodes[1]) connection.send('hello');
      });
      const { token } = await openDuplex(nodes[0]!.url, 'a');
      nodes[0]!.kill();
      const resumed = await openStream(`${addressOf(nodes[1]!.url, 'a')}&sseProtocol=2`, {
        'Last-Event-ID': `${token}.0`,
      });
      await resumed.take(); // hello
      expect(await resumed.take()).toEqual({ data: '"hello"' });
      nodes[1]!.connections[0]!.send(Uint8Array.of(1));
      expect(await resumed.takeData()).toMatchObject({ code: 1003 });
    });

    it('adopt the sessions of a killed node, deliver what their clients sent, and close them', async () => {
      const log: unknown[] = [];
      const nodes = await startNodes(
        3,
        (connection, node) => {
          if (node === nodes[0]) return; // nobody listens here
          connection.on('message', (message) => log.push(message));
          connection.on('close', (code, reason) => log.push([code, reason]));
        },
        { reconnectTimeout: 200 },
      );
      const [first, second] = nodes as [FaultyNode, FaultyNode];
      const closing = await openDuplex(first.url, 'closing');
      const leaving = await openDuplex(first.url, 'leaving');
      await leaving.post({ messages: ['a'] });
      const { token } = closing;
      const close = { code: 4000, reason: 'done' };
      const body = JSON.stringify({ token, id: 0, ack: 0, messages: ['b'], close });
      first.engine.isPublished = () => false;
      const reply = await post(addressOf(second.url, 'closing'), body);
      expect(reply.json).toEqual({ received: 1, closed: true });
      first.kill();
      await waitFor(() => log.length === 4, 10_000);
      expect(log.slice(0, 4)).toEqual(
        expect.arrayContaining([
          'a',
          'b',
          [4000, 'done'],
          [1006, 'the client did not reconnect within 200 ms'],
        ]),
      );
      await waitForAsync(async () => (await source().countSessions()) === 0);
      await sleep(1_200); // no other node adopts them again
      expect(log).toHaveLength(4);
    }, 20_000);

    it('adopt the sessions of a killed node also if those of another one cannot be read', async () => {
      const closed: string[] = [];
      const nodes = await startNodes(
        3,
        (connection) => connection.on('close', () => closed.push(connection.id)),
        { reconnectTimeout: 200 },
      );
      const [first, second, third] = nodes as [FaultyNode, FaultyNode, FaultyNode];
      await openDuplex(first.url, 'a');
      await openDuplex(second.url, 'b');
      const { sessionsOf } = third.engine;
      const failing = new Set<string>();
      third.engine.sessionsOf = async (nodeId) => {
        const ids = await sessionsOf(nodeId);
        if (ids.includes('a')) failing.add(nodeId);
        if (failing.has(nodeId)) throw new Error('not now');
        return ids;
      };
      first.kill();
      second.kill();
      await waitFor(() => closed.length === 1, 10_000);
      expect([closed, failing.size]).toEqual([['b'], 1]);
      third.engine.sessionsOf = sessionsOf;
      await waitFor(() => closed.length === 2, 10_000);
    }, 30_000);

    it('send the close for an exceeded limit to a client at another node', async () => {
      const nodes = await startNodes(2, undefined, { maxBufferedAmount: 1_000 });
      const { token, stream } = await openDuplex(nodes[0]!.url, 'a');
      const [connection] = nodes[0]!.connections as [NodeConnection];
      stream.pause();
      connection.send('x'.repeat(2_000));
      await sleep(50);
      const late = JSON.stringify({ token, id: 0, ack: 0, messages: ['late'] });
      const reply = await post(addressOf(nodes[1]!.url, 'a'), late);
      expect([reply.status, reply.json]).toMatchObject([410, { close: { code: 1008 } }]);
      nodes[0]!.kill();
      const resumed = await openStream(`${addressOf(nodes[1]!.url, 'a')}&sseProtocol=2`, {
        'Last-Event-ID': `${token}.0`,
      });
      await resumed.takeData(); // hello
      expect(await resumed.takeData()).toEqual({
        code: 1008,
        reason: 'more than 1000 bytes unacknowledged (option "maxBufferedAmount")',
      });
      const end = JSON.stringify({
        token,
        id: 0,
        ack: 0,
        messages: [],
        close: { code: 1008, reason: '' },
      });
      expect((await post(addressOf(nodes[1]!.url, 'a'), end)).status).toBe(200);
      expect(nodes[1]!.connections).toEqual([]);
      await waitForAsync(async () => (await source().countSessions()) === 0);
    });

    it('send nothing that follows a broadcast which exceeds the limit of a session', async () => {
      const [node] = (await startNodes(1, undefined, { maxBufferedAmount: 1_000 })) as [FaultyNode];
      const { stream, resume } = await openDuplex(node.url, 'a');
      const [connection] = node.connections as [NodeConnection];
      node.sse.broadcast('x'.repeat(2_000));
      expect(connection.send('late')).toBe(true); // the broadcast is not delivered yet
      await stream.ended;
      expect(connection.readyState).toBe(3);
      const resumed = await resume(0);
      await resumed.takeData(); // hello
      expect(await resumed.takeData()).toMatchObject({ code: 1008 });
    });

    it('reject POSTs for an application that does not read', async () => {
      const nodes = await startNodes(2, undefined, { maxBufferedAmount: 1_000 });
      const { token } = await openDuplex(nodes[0]!.url, 'a');
      const send = (id: number, messages: unknown[]) =>
        post(addressOf(nodes[1]!.url, 'a'), JSON.stringify({ token, id, ack: 0, messages }));
      expect((await send(0, new Array(1_000).fill(1))).json).toEqual({ received: 1_000 });
      const reply = await send(1_000, [2]);
      expect([reply.status, reply.headers['retry-after']]).toEqual([503, '1']);
      const log: unknown[] = [];
      nodes[0]!.connections[0]!.on('message', (message) => log.push(message));
      await waitFor(() => log.length === 1_000);
      await sleep(50);
      expect((await send(1_000, [2])).json).toEqual({ received: 1_001 });
    });

    it('delay POSTs while too many bytes are not handled', async () => {
      const long = 'x'.repeat(1_000);
      const log: unknown[] = [];
      let handle = () => {};
      const isHandled = new Promise<void>((resolve) => (handle = resolve));
      const accept = (connection: NodeConnection) =>
        connection.on('message', (message): unknown => {
          log.push(message);
          return isHandled;
        });
      const nodes = await startNodes(2, accept, { maxBufferedAmount: 1_000 });
      const { token } = await openDuplex(nodes[0]!.url, 'a');
      const send = (node: number, id: number, batch: unknown[]) => {
        const body = JSON.stringify({ token, id, ack: 0, messages: batch });
        return post(addressOf(nodes[node]!.url, 'a'), body);
      };
      expect((await send(0, 0, [long])).json).toEqual({ received: 1 });
      const delayed = send(0, 1, ['at the owner']);
      expect((await send(1, 1, ['elsewhere'])).status).toBe(503);
      expect(log).toEqual([long]);
      handle();
      expect((await delayed).json).toEqual({ received: 2 });
      expect((await send(1, 2, ['elsewhere'])).json).toEqual({ received: 3 });
      await waitFor(() => log.length === 3);
    });

    it('do not read from the engine for a POST that follows what its node knows', async () => {
      const [node] = (await startNodes(1, echo)) as [FaultyNode];
      const { stream, post: send } = await openDuplex(node.url, 'a');
      await send({ messages: ['a'] });
      await stream.takeData();
      const calls: string[] = [];
      node.engine.onApplied = (method) => calls.push(method);
      await send({ id: 1, ack: 1, messages: ['b'] });
      expect(calls).toContain('commit');
      expect(calls).not.toContain('read');
    });

    it('reject at the owner of a session an acknowledgement of messages that were not sent', async () => {
      const [node] = (await startNodes(1)) as [FaultyNode];
      const client = await openDuplex(node.url, 'a');
      expect((await client.post({ ack: 1 })).status).toBe(400);
      expect(node.connections[0]!.readyState).toBe(1);
    });

    it('close a session with 1011 if acknowledged messages are missing', async () => {
      const closes: unknown[] = [];
      const nodes = await startNodes(2, (connection) => {
        connection.on('message', () => {});
        connection.on('close', (code, reason) => closes.push([code, reason]));
      });
      const lost = [1011, 'acknowledged messages were lost'];
      for (const [at, id] of ['a', 'b'].entries()) {
        const { token } = await openDuplex(nodes[0]!.url, id);
        const body = JSON.stringify({ token, id: 5, ack: 0, messages: ['x'] });
        const { status } = await post(addressOf(nodes[at]!.url, id), body);
        expect(status).toBe(at === 0 ? 410 : 409);
        await waitFor(() => closes.length === at + 1);
      }
      expect(closes).toEqual([lost, lost]);
    });

    it('close a session with 1011 if its next node cannot restore its broadcasts', async () => {
      const nodes = await startNodes(2);
      const { token, stream } = await openDuplex(nodes[0]!.url, 'a');
      nodes[1]!.sse.broadcast('x');
      expect(await stream.takeData()).toBe('x');
      await source().trimBroadcasts();
      nodes[0]!.kill();
      const resumed = await openStream(`${addressOf(nodes[1]!.url, 'a')}&sseProtocol=2`, {
        'Last-Event-ID': `${token}.0`,
      });
      await resumed.takeData(); // hello
      expect(await resumed.takeData()).toEqual({
        code: 1011,
        reason: 'broadcasts for the session were lost',
      });
    });

    it('write a session again if the engine has lost a commit of it', async () => {
      const [node] = (await startNodes(1, echo)) as [FaultyNode];
      const client = connect([node], { get: 0, post: 0 });
      const messages = messagesOf(client);
      await next(client, 'open');
      const { commit } = node.engine;
      node.engine.commit = () => {
        node.engine.commit = commit;
        return Promise.resolve({ received: -1 });
      };
      client.send('x');
      await waitFor(() => messages.length === 1);
      client.send('y');
      await waitFor(() => messages.length === 2);
      expect(messages).toEqual([{ echo: 'x' }, { echo: 'y' }]);
    });

    it.each(['at its next commit', 'at a heartbeat'])(
      'write a session again, with its state, if the engine has lost its last commit: %s',
      async (when) => {
        const nodes = await startNodes(2, () => {}, { heartbeatInterval: 100 });
        const route = { get: 0, post: 0 };
        const client = connect(nodes, route);
        const messages = messagesOf(client);
        await next(client, 'open');
        const [first] = nodes[0]!.connections as [NodeConnection];
        await sleep(50); // everything so far is committed
        const { engine } = nodes[0]!;
        const { commit } = engine;
        let isLost = false;
        let restores = 0;
        engine.onApplied = (method) => {
          if (method === 'restore') restores++;
        };
        engine.commit = (_id, _epoch, changes) => {
          engine.commit = commit;
          isLost = true;
          return Promise.resolve({ received: changes.received }); // confirmed before a replica has it
        };
        first.state = { seen: 1 };
        await waitFor(() => isLost);
        if (when === 'at its next commit') {
          first.send('next');
          await waitFor(() => messages.length === 1);
        }
        await waitFor(() => restores === 1);
        route.get = route.post = 1;
        nodes[0]!.kill();
        await next(client, 'reconnect');
        expect(nodes[1]!.connections[0]!.state).toEqual({ seen: 1 });
      },
    );

    it('keep what another node has recorded when they write a session again', async () => {
      const received: unknown[] = [];
      const nodes = await startNodes(2, (connection) => {
        connection.on('message', (message) => received.push(message));
      });
      const [first] = nodes as [FaultyNode];
      const client = connect(nodes, { get: 0, post: 1 });
      await next(client, 'open');
      first.engine.isPublished = () => false;
      client.send('a');
      await waitFor(() => client.bufferedAmount === 0);
      const { commit, restore } = first.engine;
      let restores = 0;
      first.engine.commit = () => {
        first.engine.commit = commit;
        return Promise.resolve({ received: -1 });
      };
      first.engine.restore = (...values) => {
        restores++;
        return restore(...values);
      };
      first.connections[0]!.send('x');
      await waitFor(() => received.length === 1);
      expect([received, restores]).toEqual([['a'], 1]);
      client.send('b');
      await waitFor(() => client.bufferedAmount === 0);
      expect(client.readyState).toBe(1);
    });

    it('reject a POST for a session that has just ended', async () => {
      const nodes = await startNodes(2);
      const { token } = await openDuplex(nodes[0]!.url, 'a');
      nodes[1]!.engine.take = () => Promise.resolve({ outcome: 'unknown-session' });
      const body = JSON.stringify({ token, id: 0, ack: 0, messages: ['x'] });
      const { status } = await post(addressOf(nodes[1]!.url, 'a'), body);
      expect([404, 503]).toContain(status); // 503 while the engine is new
    });

    it('keep the principal of a session that moves', async () => {
      const authorize = ({ headers }: { headers: Record<string, unknown> }) =>
        String(headers['x-user']);
      const nodes = await startNodes(2, undefined, { authorize });
      const { token } = await openDuplex(nodes[0]!.url, 'a', { 'x-user': 'anna' });
      nodes[0]!.kill();
      const resumed = await openStream(`${addressOf(nodes[1]!.url, 'a')}&sseProtocol=2`, {
        'Last-Event-ID': `${token}.0`,
        'x-user': 'anna',
      });
      expect(await resumed.takeData()).toMatchObject({ resumed: true });
      await source().clear();
      await waitFor(() => nodes[1]!.connections.length === 1);
      expect(nodes[1]!.connections[0]!.principal).toBe('anna');
      nodes[1]!.connections[0]!.state = 1; // recorded in the new engine, with the session
      await waitForAsync(async () => (await source().countSessions()) > 0);
    });

    it('continue a session that is closing', async () => {
      const nodes = await startNodes(2);
      const { token, stream } = await openDuplex(nodes[0]!.url, 'a');
      stream.cut();
      await waitFor(() => !nodes[0]!.connections[0]!.connected);
      nodes[0]!.connections[0]!.send('last');
      nodes[0]!.connections[0]!.close(4001, 'go away');
      await sleep(50);
      nodes[0]!.kill();
      const resumed = await openStream(`${addressOf(nodes[1]!.url, 'a')}&sseProtocol=2`, {
        'Last-Event-ID': `${token}.0`,
      });
      await resumed.takeData(); // hello
      expect(await resumed.takeData()).toBe('last');
      expect(await resumed.takeData()).toEqual({ code: 4001, reason: 'go away' });
    });

    it('find messages whose notification was lost within a heartbeat', async () => {
      const nodes = await startNodes(2, echo, { heartbeatInterval: 200 });
      nodes[0]!.engine.isPublished = () => false;
      const client = connect(nodes, { get: 0, post: 1 });
      const messages = messagesOf(client);
      client.send('a');
      client.send('b');
      await waitFor(() => messages.length === 2, 1_000);
      nodes[1]!.sse.broadcast('all');
      await waitFor(() => messages.length === 3, 2_000);
      expect(messages).toEqual([{ echo: 'a' }, { echo: 'b' }, 'all']);
    });

    it('continue the sessions after the engine has lost all data', async () => {
      const nodes = await startNodes(2, (connection) => {
        connection.join('board');
        echo(connection);
      });
      const route = { get: 0, post: 1 };
      const client = connect(nodes, route);
      const messages = messagesOf(client);
      const lost = eventsOf(client, 'sessionlost');
      client.send('a');
      await waitFor(() => messages.length === 1);
      nodes[1]!.sse.to('board').send('before');
      await waitFor(() => messages.length === 2);
      await source().clear();
      client.send('b');
      await waitFor(() => messages.length === 3, 10_000);
      nodes[1]!.sse.to('board').send('after');
      await waitFor(() => messages.length === 4, 10_000);
      route.get = 1;
      nodes[0]!.kill();
      client.send('c');
      await waitFor(() => messages.length === 5, 10_000);
      nodes[1]!.sse.to('board').send('last');
      await waitFor(() => messages.length === 6);
      expect(messages).toEqual([
        { echo: 'a' },
        'before',
        { echo: 'b' },
        'after',
        { echo: 'c' },
        'last',
      ]);
      expect(lost).toEqual([]);
    }, 30_000);

    it('reject requests with 503 while the engine does not answer, and continue when it does', async () => {
      const published = ['sse-duplex:engine-lost', 'sse-duplex:engine-back'].map((name) => {
        const messages: unknown[] = [];
        const listener = (message: unknown) => messages.push(message);
        subscribe(name, listener);
        onTestFinished(() => unsubscribe(name, listener));
        return messages;
      });
      const [node] = (await startNodes(1, echo)) as [FaultyNode];
      const client = connect([node], { get: 0, post: 0 });
      const messages = messagesOf(client);
      await next(client, 'open');
      node.engine.fault = () => 'lose';
      const response = await fetch(`${addressOf(node.url, 'b')}&sseProtocol=2`);
      const { code } = (await response.json()) as { code: string };
      expect([response.status, response.headers.get('Retry-After'), code]).toEqual([
        503,
        '1',
        'service-unavailable',
      ]);
      client.send('x');
      await waitFor(() => published[0]!.length === 1);
      node.engine.fault = () => 'none';
      await waitFor(() => messages.length === 1);
      await waitFor(() => published[1]!.length === 1);
      expect(messages).toEqual([{ echo: 'x' }]);
      expect(published[0]).toEqual([{ path: '/sse', cause: expect.any(Error) as Error }]);
      expect(published[1]).toEqual([{ path: '/sse' }]);
    });

    it('repeat the calls that a failing engine has not answered', async () => {
      const nodes = await startNodes(2, (connection) => {
        connection.join('board');
        connection.on('message', (message) => {
          connection.send({ echo: message });
          nodes[0]!.sse.to('board').send({ all: message });
        });
      });
      // Not in a fixed order: the same call of each attempt would be lost for ever.
      const random = createRandom(7);
      const faults: EngineFault[] = [];
      for (const { engine } of nodes) {
        engine.fault = () => {
          const fault = random.pick<EngineFault>([
            'none',
            'none',
            'none',
            'none',
            'lose',
            'lose-reply',
          ]);
          faults.push(fault);
          return fault;
        };
      }
      const client = connect(nodes, { get: 0, post: 0 });
      const messages = messagesOf(client);
      for (let i = 0; i < 5; i++) client.send(i);
      await waitFor(() => messages.length === 10, 10_000);
      expect(messages.filter((each) => JSON.stringify(each).includes('echo'))).toHaveLength(5);
      await sleep(100);
      expect(messages).toHaveLength(10);
      expect(faults).toEqual(expect.arrayContaining(['lose', 'lose-reply']));
    }, 30_000);
  });
}

async function waitForAsync(condition: () => Promise<boolean>): Promise<void> {
  for (let i = 0; !(await condition()); i++) {
    if (i > 200) throw new Error(`waited for ${String(condition)}`);
    await sleep(10);
  }
}
