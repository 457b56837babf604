import { SseConnection } from '../../lib/index';
import { addressOf, openChannel, openDuplex, record } from '../helpers/channel';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { openStream, sendRequest } from '../helpers/http';
import { waitFor } from '../helpers/wait-for';

describe('SessionRegistry', () => {
  describe('connections', () => {
    it('lists the connections by id and in the order in which they were opened', async () => {
      const { sse, url, connections } = await openChannel();
      expect([sse.connections.size, [...sse.connections]]).toEqual([0, []]);
      const a = await openDuplex(url, 'a');
      await openDuplex(url, 'b');
      expect([sse.connections.size, [...sse.connections]]).toEqual([2, connections]);
      expect(sse.connections.get('b')).toBe(connections[1]);
      expect(sse.connections.get('c')).toBeUndefined();
      await a.post({ close: { code: 1000, reason: '' } });
      expect([...sse.connections]).toEqual([connections[1]]);
    });

    it('no longer lists a closed connection, even if the application has paused it', async () => {
      const { sse, url, connections } = await openChannel();
      const client = await openDuplex(url);
      record(connections[0]!, 'message');
      connections[0]!.pause();
      await client.post({ messages: ['x'], close: { code: 1000, reason: '' } });
      expect([sse.connections.size, sse.stats().connections]).toEqual([0, 0]);
    });

    it('keeps a connection while its stream is lost', async () => {
      const { sse, url, connections } = await openChannel();
      const { stream } = await openDuplex(url);
      stream.cut();
      await waitFor(() => !connections[0]!.connected);
      expect([...sse.connections]).toEqual(connections);
      expect(sse.stats()).toMatchObject({ connections: 1, connected: 0 });
    });
  });

  describe('stats', () => {
    it('counts sessions, streams, bytes, resumptions and rejected requests', async () => {
      const { sse, url, connections } = await openChannel();
      expect(sse.stats()).toEqual({
        connections: 0,
        connected: 0,
        bufferedAmount: 0,
        opened: 0,
        resumed: 0,
        clientErrors: 0,
      });
      const a = await openDuplex(url, 'a');
      await openDuplex(url, 'b');
      await a.resume(0);
      await sendRequest(url);
      connections.forEach((connection) => connection.send('x'));
      expect(sse.stats()).toEqual({
        connections: 2,
        connected: 2,
        bufferedAmount: 2 * 'data: "x"\n\n'.length,
        opened: 2,
        resumed: 1,
        clientErrors: 1,
      });
    });
  });

  describe('broadcast', () => {
    it('sends a message to every connection of both dialects, serialised once', async () => {
      const { sse, url } = await openChannel();
      const a = await openDuplex(url, 'a');
      const b = await openDuplex(url, 'b');
      const dart = await openStream(addressOf(url, 'c'));
      await dart.take();
      const before = [a, b].map(({ stream }) => stream.text().length);
      const message = { toJSON: jest.fn(() => 'ü\n') };
      sse.broadcast(message);
      expect(await a.stream.takeData()).toBe('ü\n');
      expect(await b.stream.takeData()).toBe('ü\n');
      expect(await dart.takeData()).toBe('ü\n');
      expect(message.toJSON).toHaveBeenCalledTimes(1);
      const frames = [a, b].map(({ stream }, i) => stream.text().slice(before[i]));
      expect(frames).toEqual(['data: "ü\\n"\n\n', 'data: "ü\\n"\n\n']);
    });

    it('sends a message only to the connections that the filter selects', async () => {
      const { sse, url, connections } = await openChannel();
      const a = await openDuplex(url, 'a');
      const b = await openDuplex(url, 'b');
      connections[1]!.data = 'picked';
      sse.broadcast(1, (connection) => connection.data === 'picked');
      sse.broadcast(2);
      expect(await b.stream.takeData()).toBe(1);
      expect(await b.stream.takeData()).toBe(2);
      expect(await a.stream.takeData()).toBe(2);
    });

    it('keeps a message for a client whose stream is lost', async () => {
      const { sse, url, connections } = await openChannel();
      const client = await openDuplex(url);
      client.stream.cut();
      await waitFor(() => !connections[0]!.connected);
      sse.broadcast('meanwhile');
      const stream = await client.resume(0);
      await stream.take();
      expect(await stream.takeData()).toBe('meanwhile');
    });

    it('keeps the order of messages that are sent in the same turn', async () => {
      const { sse, url, connections } = await openChannel();
      const { stream } = await openDuplex(url, 'a');
      await openDuplex(url, 'b');
      const [connection] = connections;
      const before = stream.text();
      sse.broadcast(0);
      connection!.send(1);
      sse.broadcast(2);
      sse.broadcast(3);
      sse.broadcast(4, ({ id }) => id === 'a');
      sse.broadcast(5);
      connection!.close(4000, 'done');
      sse.broadcast('too late');
      await stream.ended;
      const messages = [0, 1, 2, 3, 4, 5].map((message) => `data: ${message}\n\n`);
      const close = 'event: close\ndata: {"code":4000,"reason":"done"}\n\n';
      expect(stream.text()).toBe(before + messages.join('') + close);
    });

    it('writes the broadcasts and the messages of one turn in one piece', async () => {
      const { sse, url, connections } = await openChannel();
      await openDuplex(url);
      const write = jest.spyOn(connections[0]!.request.socket, 'write');
      connections[0]!.send(0);
      for (let i = 1; i < 10; i++) sse.broadcast(i);
      await turn();
      expect(write.mock.calls.map(([chunk]) => String(chunk))).toEqual([
        '0123456789'.replace(/./g, 'data: $&\n\n'),
      ]);
    });

    it('counts a message before it is written', async () => {
      const { sse, url, connections } = await openChannel();
      await openDuplex(url);
      sse.broadcast('12345');
      expect(connections[0]!.bufferedAmount).toBe('data: "12345"\n\n'.length);
      sse.broadcast('12345');
      expect(connections[0]!.unacknowledgedAmount).toBe(2 * 'data: "12345"\n\n'.length);
      sse.broadcast('12345');
      expect(sse.stats().bufferedAmount).toBe(3 * 'data: "12345"\n\n'.length);
    });

    it('does not send a message to a client that connects later in the same turn', async () => {
      let broadcast = () => {};
      const { sse, url } = await openChannel({}, (app) =>
        app.use((_request, _response, next) => {
          broadcast();
          next();
        }),
      );
      const early = await openDuplex(url, 'a');
      broadcast = () => sse.broadcast('before');
      const late = await openDuplex(url, 'b');
      sse.broadcast('after');
      expect([await early.stream.takeData(), await early.stream.takeData()]).toEqual([
        'before',
        'after',
      ]);
      expect(await late.stream.takeData()).toBe('after');
    });

    it('sends to all connections before it closes those above maxBufferedAmount', async () => {
      const { sse, url, connections } = await openChannel({ maxBufferedAmount: 100 });
      const [first, slow, last] = [
        await openDuplex(url, 'a'),
        await openDuplex(url, 'b'),
        await openDuplex(url, 'c'),
      ];
      connections[1]!.on('close', () => sse.broadcast('closed'));
      connections[1]!.send('x'.repeat(80));
      sse.broadcast('y'.repeat(20));
      expect(connections.map(({ readyState }) => readyState)).toEqual([1, 3, 1]);
      for (const { stream } of [first, last]) {
        expect([await stream.takeData(), await stream.takeData()]).toEqual([
          'y'.repeat(20),
          'closed',
        ]);
      }
      expect(await slow.stream.takeData()).toMatchObject({ code: 1008 });
    });

    it('sends nothing if the filter throws', async () => {
      const { sse, url, connections } = await openChannel();
      const clients = [await openDuplex(url, 'a'), await openDuplex(url, 'b')];
      const error = new Error('of the filter');
      const filter = (connection: unknown) => {
        if (connection === connections[1]) throw error;
        return true;
      };
      expect(() => sse.broadcast('x', filter)).toThrow(error);
      sse.broadcast('next');
      for (const { stream } of clients) expect(await stream.takeData()).toBe('next');
    });

    it('calls the filter for all connections before it sends', async () => {
      const { sse, url, connections } = await openChannel();
      const clients = [await openDuplex(url, 'a'), await openDuplex(url, 'b')];
      sse.broadcast('all', ({ id }) => {
        if (id === 'b') connections[0]!.send('of the filter');
        return true;
      });
      expect(await clients[0]!.stream.takeData()).toBe('of the filter');
      expect(await clients[0]!.stream.takeData()).toBe('all');
    });

    it('reports a message as unacknowledged when the session closes', async () => {
      const { sse, url, connections } = await openChannel();
      const { stream } = await openDuplex(url);
      stream.cut();
      await waitFor(() => !connections[0]!.connected);
      const closes = record(connections[0]!, 'close');
      sse.broadcast('last');
      await sse.close();
      expect(closes).toMatchObject([[1012, '', { unacknowledged: ['last'] }]]);
    });

    it('throws TypeError for a message that is not JSON-serialisable', async () => {
      const { sse, url } = await openChannel();
      await openDuplex(url);
      const message = 'cannot send: undefined has no JSON form';
      expect(() => sse.broadcast(undefined)).toThrow(new TypeError(message));
    });
  });

  describe('maxConnections', () => {
    it('rejects a duplex client with 503 and Retry-After', async () => {
      const { url } = await openChannel({ maxConnections: 1 });
      const a = await openDuplex(url, 'a');
      const reply = await sendRequest(`${addressOf(url, 'b')}&sseProtocol=2`);
      expect([reply.status, reply.headers['retry-after']]).toEqual([503, '5']);
      expect(JSON.parse(reply.text)).toMatchObject({ code: 'service-unavailable' });
      expect((await a.resume(0)).status).toBe(200);
    });

    it('responds to a Dart client with a stream that ends, because an error status would end its EventSource', async () => {
      const { url, sse } = await openChannel({ maxConnections: 1 });
      await openDuplex(url, 'a');
      const reply = await sendRequest(addressOf(url, 'b'));
      expect([reply.status, reply.headers['content-type'], reply.text]).toEqual([
        200,
        'text/event-stream',
        'retry: 5000\n\n',
      ]);
      expect(sse.stats().opened).toBe(1);
    });

    it('allows a session of the Dart dialect to replace the one with the same id', async () => {
      const { url, connections } = await openChannel({ maxConnections: 1 });
      const stream = await openStream(addressOf(url, 'a'));
      await stream.take();
      stream.cut();
      await waitFor(() => !connections[0]!.connected);
      const replacing = await openStream(addressOf(url, 'a'));
      expect(await replacing.take()).toMatchObject({ event: 'hello' });
      expect(connections.map(({ readyState }) => readyState)).toEqual([3, 1]);
    });

    it('accepts a new session after another one has ended', async () => {
      const { url } = await openChannel({ maxConnections: 1 });
      const a = await openDuplex(url, 'a');
      await a.post({ close: { code: 1000, reason: '' } });
      expect((await openDuplex(url, 'b')).hello.resumed).toBe(false);
    });
  });

  describe('close', () => {
    it('rejects with 503 a client for which handleProtocols has closed the middleware', async () => {
      const { sse, url, connections } = await openChannel();
      sse.handleProtocols = () => {
        void sse.close(1001);
        return false;
      };
      const address = `${addressOf(url, 'a')}&sseProtocol=2`;
      const { status } = await openStream(address, { 'Sse-Subprotocols': 'chat' });
      expect([status, connections.length, sse.connections.size]).toEqual([503, 0, 0]);
    });

    const code = (value: number, reason = '') => ({ close: { code: value, reason } });

    it('closes every client after what was sent to it, so that the server can close', async () => {
      const { sse, server, url, connections } = await openChannel({ reconnectJitter: 777 });
      const duplex = await openDuplex(url, 'a');
      const dart = await openStream(addressOf(url, 'b'));
      await dart.take();
      const closes = connections.map((connection) => record(connection, 'close'));
      sse.broadcast('last');
      const closed = sse.close();
      expect(await duplex.stream.takeData()).toBe('last');
      expect(await dart.takeData()).toBe('last');
      expect(await duplex.stream.take()).toEqual({
        event: 'close',
        data: '{"code":1012,"reason":"","retry":777}',
      });
      const { retry } = await dart.take();
      expect(Number(retry)).toBeGreaterThan(0);
      expect(Number(retry)).toBeLessThanOrEqual(777);
      expect([await duplex.stream.ended, await dart.ended]).toEqual(['ended', 'ended']);

      await duplex.post({ ack: 1, ...code(1012) });
      await closed;
      expect(closes).toEqual([
        [[1012, '', { unacknowledged: [] }]],
        [[1012, '', { unacknowledged: [] }]],
      ]);
      expect(sse.connections.size).toBe(0);
      await new Promise((resolve) => server.close(resolve));
    });

    it('closes clients without a retry delay with a code other than 1012', async () => {
      const { sse, url } = await openChannel();
      const duplex = await openDuplex(url, 'a');
      const dart = await openStream(addressOf(url, 'b'));
      await dart.take();
      const closed = sse.close(4000, 'over');
      expect(await duplex.stream.takeData()).toEqual({ code: 4000, reason: 'over' });
      expect(await dart.take()).toEqual({ event: 'control', data: 'close' });
      await duplex.post(code(4000));
      await closed;
    });

    it.each<[string, number, string | undefined]>([
      ['the code 999', 999, undefined],
      ['the code 1006', 1006, undefined],
      ['a reason of 124 bytes', 1000, 'é'.repeat(62)],
    ])('rejects %s with RangeError and leaves the sessions open', async (_, value, reason) => {
      const { sse, url, connections } = await openChannel();
      const client = await openDuplex(url, 'a');
      await expect(sse.close(value, reason)).rejects.toThrow(RangeError);
      expect(connections[0]!.readyState).toBe(SseConnection.OPEN);
      connections[0]!.send('still open');
      expect(await client.stream.takeData()).toBe('still open');
      expect((await openDuplex(url, 'b')).hello.resumed).toBe(false);
    });

    it('accepts the messages that its clients send with their close', async () => {
      const { sse, url, connections } = await openChannel();
      const client = await openDuplex(url);
      const messages = record(connections[0]!, 'message');
      const closed = sse.close();
      await client.stream.take();
      expect((await client.post({ messages: ['late'], ...code(1012) })).json).toEqual({
        received: 1,
        closed: true,
      });
      await closed;
      expect(messages).toEqual([['late']]);
    });

    it('does not wait for clients whose stream is lost', async () => {
      const { sse, url, connections } = await openChannel();
      const { stream } = await openDuplex(url);
      const closes = record(connections[0]!, 'close');
      stream.cut();
      await waitFor(() => !connections[0]!.connected);
      connections[0]!.send('never');
      await sse.close();
      expect(closes).toEqual([[1012, '', { unacknowledged: ['never'] }]]);
    });

    it('waits for drainTimeout at most', async () => {
      const { sse, url, connections } = await openChannel({ drainTimeout: 3000 });
      await openDuplex(url);
      const closes = record(connections[0]!, 'close');
      useFakeTimeouts();
      let isClosed = false;
      const closed = sse.close(4000).then(() => (isClosed = true));
      jest.advanceTimersByTime(2_999);
      await turn();
      expect([isClosed, closes]).toEqual([false, []]);
      jest.advanceTimersByTime(1);
      await closed;
      expect(closes).toEqual([[4000, '', { unacknowledged: [] }]]);
    });

    it('resolves for every caller', async () => {
      const { sse, url } = await openChannel({ drainTimeout: 60_000 });
      const client = await openDuplex(url);
      const closes = [sse.close(), sse.close()];
      await client.stream.take();
      await client.post(code(1012));
      await Promise.all(closes);
    });

    it('rejects new clients', async () => {
      const { sse, url } = await openChannel();
      await sse.close();
      const duplex = await sendRequest(`${addressOf(url, 'a')}&sseProtocol=2`);
      expect([duplex.status, duplex.headers['retry-after']]).toEqual([503, '5']);
      expect((await sendRequest(addressOf(url, 'b'))).text).toBe('retry: 5000\n\n');
      expect(sse.connections.size).toBe(0);
    });
  });
});
