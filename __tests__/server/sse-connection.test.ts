import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import type { EventEmitter } from 'node:events';
import { SseConnection } from '../../lib/index';
import { openChannel, openDuplex, record } from '../helpers/channel';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { waitFor } from '../helpers/wait-for';

async function openOne(options: Parameters<typeof openChannel>[0] = {}) {
  const channel = await openChannel(options);
  const client = await openDuplex(channel.url);
  return { ...channel, client, connection: channel.connections[0]! };
}

const CLOSE = { close: { code: 1000, reason: '' } };

describe('SseConnection', () => {
  it('has the state constants of WebSocket', () => {
    expect([SseConnection.OPEN, SseConnection.CLOSING, SseConnection.CLOSED]).toEqual([1, 2, 3]);
  });

  it('keeps the data of the application', async () => {
    const { connection } = await openOne();
    expect(connection.data).toBeUndefined();
    connection.data = { user: 'ann' };
    expect(connection.data).toEqual({ user: 'ann' });
  });

  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['a function', () => {}],
    ['a symbol', Symbol('x')],
    ['a BigInt', 1n],
    ['a cyclic array', cycle()],
  ])('throws TypeError for %s in send(), and stays usable', async (_, message) => {
    const { client, connection } = await openOne();
    expect(() => connection.send(message)).toThrow(TypeError);
    connection.send('x');
    expect(await client.stream.takeData()).toBe('x');
  });

  it('serialises a message when it is sent, not when it is written', async () => {
    const { client, connection } = await openOne();
    const message = { text: 'now' };
    connection.send(message);
    message.text = 'later';
    expect(await client.stream.takeData()).toEqual({ text: 'now' });
  });

  it('counts in bufferedAmount the bytes that no socket has accepted', async () => {
    const { client, connection } = await openOne();
    client.stream.cut();
    await waitFor(() => !connection.connected);
    connection.send('ü');
    expect(connection.bufferedAmount).toBe(Buffer.byteLength('data: "ü"\n\n'));
  });

  it.each<[string, unknown, unknown]>([
    ['the code 1004', 1004, ''],
    ['the code 1006', 1006, ''],
    ['the code 2999', 2999, ''],
    ['the code 5000', 5000, ''],
    ['the code NaN', NaN, ''],
    ['a reason of 124 characters', 1000, 'x'.repeat(124)],
    ['a reason of 124 bytes of UTF-8', 1000, 'é'.repeat(62)],
    ['a reason that is a number', 1000, 1],
  ])('throws RangeError for %s in close(), and stays open', async (_, code, reason) => {
    const { client, connection } = await openOne();
    expect(() => connection.close(code as number, reason as string)).toThrow(RangeError);
    expect(connection.readyState).toBe(SseConnection.OPEN);
    connection.send('x');
    expect(await client.stream.takeData()).toBe('x');
  });

  it('calls all listeners in the asynchronous context of the request that opened the session', async () => {
    const storage = new AsyncLocalStorage<number>();
    let requests = 0;
    const { url, sse } = await openChannel({ highWaterMark: 10 }, (app) =>
      app.use((_request, _response, next) => storage.run(++requests, next)),
    );
    const contexts: [event: string, request: number | undefined][] = [];
    sse.on('connection', (connection) => {
      const types = ['message', 'drain', 'disconnect', 'reconnect', 'close'] as const;
      for (const type of types) {
        connection.on(type, () => contexts.push([type, storage.getStore()]));
      }
    });
    const client = await openDuplex(url);
    const other = await openDuplex(url, 'b');
    const [first, second] = sse.connections;
    second!.send('more than ten bytes');
    first!.send('more than ten bytes'); // written with those of the other session, in its context
    await waitFor(() => contexts.length === 2);
    first!.pause();
    await client.post({ messages: ['a'] });
    other.stream.cut();
    await waitFor(() => contexts.length === 3);
    first!.resume(); // the message is delivered outside of any request
    await client.resume(1);
    await client.post({ id: 1, ack: 1, close: { code: 1000, reason: '' } });
    expect(contexts.filter(([, request]) => request === 1)).toEqual([
      ['drain', 1],
      ['message', 1],
      ['disconnect', 1],
      ['reconnect', 1],
      ['close', 1],
    ]);
    expect(contexts.filter(([, request]) => request !== 1)).toEqual([
      ['drain', 2],
      ['disconnect', 2],
    ]);
  });

  describe('message', () => {
    it('keeps messages until there is a listener, which may be added after an await', async () => {
      const { client, connection } = await openOne();
      await client.post({ messages: [1, 2] });
      await turn();
      const messages = record(connection, 'message');
      expect(messages).toEqual([]); // not before another listener can be added
      const others = record(connection, 'message');
      await turn();
      await client.post({ id: 2, messages: [3] });
      expect([messages.flat(), others.flat()]).toEqual([
        [1, 2, 3],
        [1, 2, 3],
      ]);
    });

    it('keeps messages if there are only listeners of other events', async () => {
      const { client, connection } = await openOne();
      record(connection, 'close');
      await client.post({ messages: [1] });
      await turn();
      const messages = record(connection, 'message');
      await turn();
      expect(messages).toEqual([[1]]);
    });

    it('keeps the messages that arrive after the last listener was removed', async () => {
      const { client, connection } = await openOne();
      const first = jest.fn();
      connection.on('message', first);
      await client.post({ messages: [1] });
      connection.off('message', first);
      await client.post({ id: 1, messages: [2] });
      expect(first.mock.calls).toEqual([[1, { number: 0, redelivered: false }]]);
      const messages = record(connection, 'message');
      await turn();
      expect(messages).toEqual([[2]]);
    });

    it('delivers one message to a listener that was added with once, and keeps the others', async () => {
      const { client, connection } = await openOne();
      const first = once(connection, 'message');
      await client.post({ messages: [1, 2, 3] });
      expect(await first).toEqual([1, { number: 0, redelivered: false }]);
      await turn();
      const messages = record(connection, 'message');
      await turn();
      expect(messages.flat()).toEqual([2, 3]);
    });

    it('keeps messages while it is paused, even if a listener is added', async () => {
      const { client, connection } = await openOne();
      connection.pause();
      const messages = record(connection, 'message');
      await client.post({ messages: [1, 2] });
      await turn();
      expect(messages).toEqual([]);
      connection.resume();
      connection.resume();
      await turn();
      expect(messages.flat()).toEqual([1, 2]);
    });

    it.each([
      ['all listeners were removed', []],
      ['all listeners of the event "newListener" were removed', ['newListener']],
    ] as const)('delivers what it has kept, and then emits close, after %s', async (_, events) => {
      const { client, connection } = await openOne();
      await client.post({ messages: [1, 2] });
      expect(connection.removeAllListeners(...events)).toBe(connection);
      const messages = record(connection, 'message');
      const closes = record(connection, 'close');
      await turn();
      expect(messages.flat()).toEqual([1, 2]);
      await client.post({ id: 2, messages: [], ...CLOSE });
      expect(closes).toHaveLength(1);
    });

    it('forgets exactly the listeners that removeAllListeners has removed', async () => {
      const { client, connection } = await openOne();
      const first = record(connection, 'message');
      const removed = jest.fn();
      (connection as EventEmitter).on('removeListener', removed);
      const closes = record(connection, 'close');
      connection.removeAllListeners('message');
      const second = record(connection, 'message');
      await client.post({ messages: [1], ...CLOSE });
      expect([first, second.flat(), closes.length]).toEqual([[], [1], 1]);
      expect(removed).toHaveBeenCalledTimes(1);
      connection.removeAllListeners();
      expect(connection.listenerCount('message')).toBe(0);
    });

    it('delivers no messages after close to an application that added its listener after 30 s', async () => {
      const { client, connection } = await openOne({ reconnectTimeout: 3_600_000 });
      const closes = record(connection, 'close');
      useFakeTimeouts();
      await client.post({ messages: [1], ...CLOSE });
      jest.advanceTimersByTime(30_000);
      expect(closes).toHaveLength(1);
      const messages = record(connection, 'message');
      await turn();
      expect(messages).toEqual([]);
    });

    it('stops in the middle of a batch when a listener pauses', async () => {
      const { client, connection } = await openOne();
      const messages: unknown[] = [];
      connection.on('message', (message) => {
        messages.push(message);
        connection.pause();
      });
      await client.post({ messages: [1, 2] });
      expect(messages).toEqual([1]);
      connection.resume();
      await turn();
      expect(messages).toEqual([1, 2]);
    });

    it('delivers messages in order although a listener resumes', async () => {
      const { client, connection } = await openOne();
      const messages: unknown[] = [];
      connection.on('message', (message) => {
        messages.push(message);
        connection.pause();
        connection.resume();
      });
      await client.post({ messages: [1, 2, 3] });
      await turn();
      expect(messages).toEqual([1, 2, 3]);
    });
  });

  describe('stream', () => {
    it('yields the messages, and ends with the session', async () => {
      const { client, connection } = await openOne();
      const reader = connection.stream.getReader();
      expect(connection.stream).toBe(connection.stream);
      await client.post({ messages: [1, 2] });
      await client.post({ id: 2, messages: [3], ...CLOSE });
      const reads = [];
      for (let i = 0; i < 4; i++) reads.push(await reader.read());
      expect(reads).toEqual([
        { done: false, value: 1 },
        { done: false, value: 2 },
        { done: false, value: 3 },
        { done: true, value: undefined },
      ]);
    });

    it('is read by `for await`', async () => {
      const { client, connection } = await openOne();
      await client.post({ messages: ['a', null] });
      await client.post({ id: 2, messages: ['c'], ...CLOSE });
      const messages: unknown[] = [];
      for await (const message of connection) messages.push(message);
      expect(messages).toEqual(['a', null, 'c']);
    });

    it('yields all messages if it is first read after the client has closed', async () => {
      const { client, connection } = await openOne();
      await client.post({ messages: [1, 2], ...CLOSE });
      await turn(); // the application awaits something
      const messages: unknown[] = [];
      for await (const message of connection.stream) messages.push(message);
      expect(messages).toEqual([1, 2]);
    });

    it('is at its end if it is first read after close was emitted', async () => {
      const { client, connection } = await openOne();
      const closes = record(connection, 'close');
      await client.post(CLOSE);
      await waitFor(() => closes.length > 0);
      expect(await connection.stream.getReader().read()).toEqual({ done: true, value: undefined });
    });

    it('yields all messages to a reader that takes longer than 30 s', async () => {
      const { client, connection } = await openOne();
      const closes = record(connection, 'close');
      useFakeTimeouts();
      await client.post({ messages: [1, 2, 3], ...CLOSE });
      const reader = connection.stream.getReader();
      expect(await reader.read()).toEqual({ done: false, value: 1 });
      jest.advanceTimersByTime(60_000);
      expect(closes).toEqual([]);
      expect(await reader.read()).toEqual({ done: false, value: 2 });
      expect(await reader.read()).toEqual({ done: false, value: 3 });
      expect((await reader.read()).done).toBe(true);
      expect(closes).toHaveLength(1);
    });

    it('is at its end if it is first read 30 s after the client has closed', async () => {
      const { client, connection } = await openOne();
      useFakeTimeouts();
      await client.post({ messages: [1], ...CLOSE });
      jest.advanceTimersByTime(30_000);
      expect(await connection.stream.getReader().read()).toEqual({ done: true, value: undefined });
    });

    it('applies back-pressure to the client while it is not read', async () => {
      const { client, connection } = await openOne({ highWaterMark: 1 });
      const reader = connection.stream.getReader();
      const reading = reader.read();
      await client.post({ messages: [1, 2] });
      expect((await reading).value).toBe(1);
      let hasResponse = false;
      const blocked = client.post({ id: 2, messages: [3] }).then((reply) => {
        hasResponse = true;
        return reply.status;
      });
      await client.post();
      await turn();
      expect(hasResponse).toBe(false);
      expect((await reader.read()).value).toBe(2);
      expect((await reader.read()).value).toBe(3);
      expect(await blocked).toBe(200);
    });

    it('closes the connection with the reason when it is cancelled', async () => {
      const { client, connection } = await openOne();
      await connection.stream.cancel('enough');
      expect(await client.stream.takeData()).toEqual({ code: 1000, reason: 'enough' });
    });

    it.each([
      ['an error', new Error('broken'), 'broken'],
      ['nothing', undefined, ''],
      ['a long text', 'é'.repeat(200), 'é'.repeat(40)],
    ])('closes the connection when it is cancelled with %s', async (_, reason, expected) => {
      const { client, connection } = await openOne();
      await connection.stream.cancel(reason);
      expect(await client.stream.takeData()).toEqual({ code: 1000, reason: expected });
    });

    it('discards the messages that arrive after it was cancelled', async () => {
      const { client, connection } = await openOne({ highWaterMark: 1 });
      await client.post({ messages: [1] });
      await connection.stream.cancel();
      const closes = record(connection, 'close');
      expect((await client.post({ id: 1, messages: [2] })).status).toBe(200);
      expect((await client.post({ id: 2, messages: [3], ...CLOSE })).json).toEqual({
        received: 3,
        closed: true,
      });
      expect(closes).toHaveLength(1);
    });

    it('closes the connection when a `for await` loop breaks', async () => {
      const { client, connection } = await openOne();
      await client.post({ messages: [1, 2, 3] });
      const messages: unknown[] = [];
      for await (const message of connection) {
        messages.push(message);
        break;
      }
      expect(messages).toEqual([1]);
      expect(await client.stream.take()).toMatchObject({ event: 'close' });
      const closes = record(connection, 'close');
      await client.post(CLOSE);
      expect(closes).toHaveLength(1);
    });
  });

  describe('sink', () => {
    it('sends what is written', async () => {
      const { client, connection } = await openOne();
      expect(connection.sink).toBe(connection.sink);
      const writer = connection.sink.getWriter();
      await writer.write('a');
      await writer.write({ b: 1 });
      expect(await client.stream.takeData()).toBe('a');
      expect(await client.stream.takeData()).toEqual({ b: 1 });
    });

    it('resolves write() when the socket has accepted the message', async () => {
      const { client, connection } = await openOne({ highWaterMark: 100 });
      client.stream.cut();
      await waitFor(() => !connection.connected);
      const writer = connection.sink.getWriter();
      let isWritten = false;
      const written = writer.write('x'.repeat(100)).then(() => (isWritten = true));
      await turn();
      expect(isWritten).toBe(false);
      await client.resume(0);
      await written;
      expect(connection.listenerCount('drain')).toBe(0);
    });

    it('resolves a pending write() when the connection ends, and rejects the next one', async () => {
      const { client, connection } = await openOne({ highWaterMark: 100, reconnectTimeout: 0 });
      const writer = connection.sink.getWriter();
      writer.closed.catch(() => {});
      client.stream.pause();
      const written = writer.write('x'.repeat(12 << 20));
      await turn();
      client.stream.cut();
      await written;
      await expect(writer.write('y')).rejects.toThrow('the connection is closed');
    });

    it('rejects a write() that exceeds maxBufferedAmount', async () => {
      const { connection } = await openOne({ maxBufferedAmount: 100 });
      const writer = connection.sink.getWriter();
      writer.closed.catch(() => {});
      await expect(writer.write('x'.repeat(100))).rejects.toThrow('the connection is closed');
      expect(connection.readyState).toBe(3);
    });

    it('rejects a write() to a closed connection', async () => {
      const { client, connection } = await openOne();
      const closes = record(connection, 'close');
      await client.post(CLOSE);
      expect(closes).toHaveLength(1);
      const writer = connection.sink.getWriter();
      writer.closed.catch(() => {});
      await expect(writer.write('x')).rejects.toThrow('the connection is closed');
    });

    it('rejects a write() to a closing connection', async () => {
      const { connection } = await openOne();
      const writer = connection.sink.getWriter();
      writer.closed.catch(() => {});
      connection.close();
      await expect(writer.write('x')).rejects.toThrow('the connection is closed');
    });

    it('closes the connection after its messages when it is closed', async () => {
      const { client, connection } = await openOne();
      const writer = connection.sink.getWriter();
      void writer.write('last');
      await writer.close();
      expect(await client.stream.takeData()).toBe('last');
      expect(await client.stream.takeData()).toEqual({ code: 1000, reason: '' });
    });

    it('closes the connection with the reason when it is aborted', async () => {
      const { client, connection } = await openOne();
      await connection.sink.abort(new Error('broken'));
      expect(await client.stream.takeData()).toEqual({ code: 1000, reason: 'broken' });
    });

    it.each<[string, unknown]>([
      ['undefined', undefined],
      ['a BigInt', 1n],
      ['a cyclic array', cycle()],
    ])('rejects a write() of %s with TypeError', async (_, message) => {
      const { connection } = await openOne();
      const writer = connection.sink.getWriter();
      writer.closed.catch(() => {});
      await expect(writer.write(message)).rejects.toThrow(TypeError);
    });

    it('sends the messages of a stream that is piped into it', async () => {
      const { client, connection } = await openOne({ highWaterMark: 1 });
      const numbers = new ReadableStream<number>({
        start(controller) {
          for (const number of [1, 2, 3]) controller.enqueue(number);
          controller.close();
        },
      });
      await numbers.pipeTo(connection.sink, { preventClose: true });
      for (const number of [1, 2, 3]) expect(await client.stream.takeData()).toBe(number);
    });

    it('echoes the messages of the stream that is piped into it', async () => {
      const { client, connection } = await openOne();
      const echo = connection.stream.pipeTo(connection.sink);
      await client.post({ messages: ['a', 'b'] });
      expect([await client.stream.takeData(), await client.stream.takeData()]).toEqual(['a', 'b']);
      await client.post({ id: 2, ...CLOSE });
      await echo;
      expect(connection.readyState).toBe(3);
    });

    it('cancels a stream without messages that is piped into it when the connection closes', async () => {
      const { client, connection } = await openOne();
      let cancelled: unknown;
      const silent = new ReadableStream({ cancel: (reason) => void (cancelled = reason) });
      const piping = silent.pipeTo(connection.sink).catch((error: unknown) => error);
      await client.post(CLOSE);
      expect(await piping).toEqual(
        new Error('the connection is closed: check readyState, or listen for "close"'),
      );
      expect(cancelled).toEqual(
        new Error('the connection is closed: check readyState, or listen for "close"'),
      );
    });
  });

  describe('readable and writable', () => {
    it('are the stream and the sink', async () => {
      const { connection } = await openOne();
      expect(connection.readable).toBe(connection.stream);
      expect(connection.writable).toBe(connection.sink);
    });

    it('are a transform pair for pipeThrough', async () => {
      const { client, connection } = await openOne();
      const source = new ReadableStream<unknown>({
        start(controller) {
          controller.enqueue('a');
          controller.enqueue('b');
        },
      });
      const reader = source.pipeThrough(connection).getReader();
      expect([await client.stream.takeData(), await client.stream.takeData()]).toEqual(['a', 'b']);
      await client.post({ messages: [1, 2] });
      expect(await reader.read()).toEqual({ done: false, value: 1 });
      expect(await reader.read()).toEqual({ done: false, value: 2 });
      await client.post({ id: 2, ...CLOSE });
      expect(await reader.read()).toEqual({ done: true, value: undefined });
    });
  });
});

function cycle(): unknown[] {
  const array: unknown[] = [];
  array.push(array);
  return array;
}
