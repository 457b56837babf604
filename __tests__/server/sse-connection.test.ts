import { SseConnection } from '../../lib/index';
import { openChannel, openDuplex, record } from '../helpers/channel';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { waitFor } from '../helpers/wait-for';

async function openOne(options: Parameters<typeof openChannel>[0] = {}) {
  const channel = await openChannel(options);
  const client = await openDuplex(channel.url);
  return { ...channel, client, connection: channel.connections[0]! };
}

const GOODBYE = { close: { code: 1000, reason: '' } };

describe('a connection', () => {
  it('has the numbers of WebSocket', () => {
    expect([SseConnection.OPEN, SseConnection.CLOSING, SseConnection.CLOSED]).toEqual([1, 2, 3]);
  });

  it('keeps what the application wants to keep with it', async () => {
    const { connection } = await openOne();
    expect(connection.data).toBeUndefined();
    connection.data = { user: 'ann' };
    expect(connection.data).toEqual({ user: 'ann' });
  });

  it.each([
    ['undefined', undefined],
    ['function', () => {}],
    ['symbol', Symbol('x')],
  ])('refuses to send %s: JSON has no form of it', async (type, message) => {
    const { connection } = await openOne();
    expect(() => connection.send(message)).toThrow(
      new TypeError(`a message must be JSON-serialisable, and ${type} is not`),
    );
  });

  it('refuses to send what JSON.stringify throws at, and goes on', async () => {
    const { client, connection } = await openOne();
    const cycle: unknown[] = [];
    cycle.push(cycle);
    expect(() => connection.send(cycle)).toThrow(TypeError);
    expect(() => connection.send(1n)).toThrow(TypeError);
    connection.send('x');
    expect(await client.stream.takeData()).toBe('x');
  });

  it('sends a message as it is now, whatever becomes of the object', async () => {
    const { client, connection } = await openOne();
    const message = { text: 'now' };
    connection.send(message);
    message.text = 'later';
    expect(await client.stream.takeData()).toEqual({ text: 'now' });
  });

  it('counts the bytes that no socket has taken', async () => {
    const { client, connection } = await openOne();
    client.stream.cut();
    await waitFor(() => !connection.connected);
    connection.send('ü');
    expect(connection.bufferedAmount).toBe(Buffer.byteLength('data: "ü"\n\n'));
  });
});

describe('the messages of a connection', () => {
  it('wait until there is a listener, which may come after an await', async () => {
    const { client, connection } = await openOne();
    await client.post({ messages: [1, 2] });
    const messages = record(connection, 'message');
    expect(messages).toEqual([]); // not before another one can be attached
    const others = record(connection, 'message');
    await turn();
    expect([messages.flat(), others.flat()]).toEqual([
      [1, 2],
      [1, 2],
    ]);
  });

  it('do not wait for listeners of other events', async () => {
    const { client, connection } = await openOne();
    record(connection, 'close');
    await client.post({ messages: [1] });
    await turn();
    const messages = record(connection, 'message');
    await turn();
    expect(messages).toEqual([[1]]);
  });

  it('come with once as well', async () => {
    const { client, connection } = await openOne();
    await client.post({ messages: [1] });
    const message = await new Promise((resolve) => connection.once('message', resolve));
    expect(message).toBe(1);
  });

  it('wait while it is paused, and a listener does not resume it', async () => {
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

  it('do not come after `close`: who did not ask for them in reconnectTimeout gets none', async () => {
    const { client, connection } = await openOne({ reconnectTimeout: 1000 });
    const closes = record(connection, 'close');
    useFakeTimeouts();
    await client.post({ messages: [1], ...GOODBYE });
    jest.advanceTimersByTime(1000);
    expect(closes).toHaveLength(1);
    const messages = record(connection, 'message');
    await turn();
    expect(messages).toEqual([]);
  });

  it('stop coming in the middle of a batch when a listener pauses', async () => {
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

  it('come in order though a listener resumes', async () => {
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

describe('the stream of a connection', () => {
  it('has the messages, and ends with the session', async () => {
    const { client, connection } = await openOne();
    const reader = connection.stream.getReader();
    expect(connection.stream).toBe(connection.stream);
    await client.post({ messages: [1, 2] });
    await client.post({ id: 2, messages: [3], ...GOODBYE });
    const reads = [];
    for (let i = 0; i < 4; i++) reads.push(await reader.read());
    expect(reads).toEqual([
      { done: false, value: 1 },
      { done: false, value: 2 },
      { done: false, value: 3 },
      { done: true, value: undefined },
    ]);
  });

  it('is what `for await` reads', async () => {
    const { client, connection } = await openOne();
    await client.post({ messages: ['a', null] });
    await client.post({ id: 2, messages: ['c'], ...GOODBYE });
    const messages: unknown[] = [];
    for await (const message of connection) messages.push(message);
    expect(messages).toEqual(['a', null, 'c']);
  });

  it('pending for after the client said goodbye has all that it said', async () => {
    const { client, connection } = await openOne();
    await client.post({ messages: [1, 2], ...GOODBYE });
    await turn(); // the application awaits something
    const messages: unknown[] = [];
    for await (const message of connection.stream) messages.push(message);
    expect(messages).toEqual([1, 2]);
  });

  it('pending for after the end has been told is over', async () => {
    const { client, connection } = await openOne();
    const closes = record(connection, 'close');
    await client.post(GOODBYE);
    await waitFor(() => closes.length > 0);
    expect(await connection.stream.getReader().read()).toEqual({ done: true, value: undefined });
  });

  it('has all messages for a reader that is slower than reconnectTimeout', async () => {
    const { client, connection } = await openOne({ reconnectTimeout: 1000 });
    const closes = record(connection, 'close');
    useFakeTimeouts();
    await client.post({ messages: [1, 2, 3], ...GOODBYE });
    const reader = connection.stream.getReader();
    expect(await reader.read()).toEqual({ done: false, value: 1 });
    jest.advanceTimersByTime(60_000);
    expect(closes).toEqual([]);
    expect(await reader.read()).toEqual({ done: false, value: 2 });
    expect(await reader.read()).toEqual({ done: false, value: 3 });
    expect((await reader.read()).done).toBe(true);
    expect(closes).toHaveLength(1);
  });

  it('is over when nobody pending for it in reconnectTimeout', async () => {
    const { client, connection } = await openOne({ reconnectTimeout: 1000 });
    useFakeTimeouts();
    await client.post({ messages: [1], ...GOODBYE });
    jest.advanceTimersByTime(1000);
    expect(await connection.stream.getReader().read()).toEqual({ done: true, value: undefined });
  });

  it('pushes back on the client when it is not read', async () => {
    const { client, connection } = await openOne({ highWaterMark: 1 });
    const reader = connection.stream.getReader();
    const reading = reader.read();
    await client.post({ messages: [1, 2] });
    expect((await reading).value).toBe(1);
    let isAnswered = false;
    const held = client.post({ id: 2, messages: [3] }).then((reply) => {
      isAnswered = true;
      return reply.status;
    });
    await client.post();
    await turn();
    expect(isAnswered).toBe(false);
    expect((await reader.read()).value).toBe(2);
    expect((await reader.read()).value).toBe(3);
    expect(await held).toBe(200);
  });

  it('closes the connection when it is cancelled, with the reason', async () => {
    const { client, connection } = await openOne();
    await connection.stream.cancel('enough');
    expect(await client.stream.takeData()).toEqual({ code: 1000, reason: 'enough' });
  });

  it.each([
    ['an error', new Error('broken'), 'broken'],
    ['nothing', undefined, ''],
    ['a long text', 'é'.repeat(200), 'é'.repeat(40)],
  ])('closes the connection when it is cancelled with %s', async (_, reason, told) => {
    const { client, connection } = await openOne();
    await connection.stream.cancel(reason);
    expect(await client.stream.takeData()).toEqual({ code: 1000, reason: told });
  });

  it('closes the connection when a `for await` is left', async () => {
    const { client, connection } = await openOne();
    await client.post({ messages: [1, 2, 3] });
    for await (const message of connection) {
      expect(message).toBe(1);
      break;
    }
    expect(await client.stream.take()).toMatchObject({ event: 'close' });
    const closes = record(connection, 'close');
    await client.post(GOODBYE);
    expect(closes).toHaveLength(1);
  });
});

describe('the sink of a connection', () => {
  it('sends what is written', async () => {
    const { client, connection } = await openOne();
    expect(connection.sink).toBe(connection.sink);
    const writer = connection.sink.getWriter();
    await writer.write('a');
    await writer.write({ b: 1 });
    expect(await client.stream.takeData()).toBe('a');
    expect(await client.stream.takeData()).toEqual({ b: 1 });
  });

  it('lets its writer wait until the socket has taken it', async () => {
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

  it('lets nobody wait for a connection that ends', async () => {
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

  it('breaks on a message that passes maxBufferedAmount', async () => {
    const { connection } = await openOne({ maxBufferedAmount: 100 });
    const writer = connection.sink.getWriter();
    writer.closed.catch(() => {});
    await expect(writer.write('x'.repeat(100))).rejects.toThrow('the connection is closed');
    expect(connection.readyState).toBe(3);
  });

  it('is broken on a connection that is closed', async () => {
    const { client, connection } = await openOne();
    const closes = record(connection, 'close');
    await client.post(GOODBYE);
    expect(closes).toHaveLength(1);
    const writer = connection.sink.getWriter();
    writer.closed.catch(() => {});
    await expect(writer.write('x')).rejects.toThrow('the connection is closed');
  });

  it('breaks when the connection is closing', async () => {
    const { connection } = await openOne();
    const writer = connection.sink.getWriter();
    writer.closed.catch(() => {});
    connection.close();
    await expect(writer.write('x')).rejects.toThrow('the connection is closed');
  });

  it('closes the connection in order when it is closed', async () => {
    const { client, connection } = await openOne();
    const writer = connection.sink.getWriter();
    void writer.write('last');
    await writer.close();
    expect(await client.stream.takeData()).toBe('last');
    expect(await client.stream.takeData()).toEqual({ code: 1000, reason: '' });
  });

  it('closes the connection when it is aborted, with the reason', async () => {
    const { client, connection } = await openOne();
    await connection.sink.abort(new Error('broken'));
    expect(await client.stream.takeData()).toEqual({ code: 1000, reason: 'broken' });
  });

  it('breaks on a message without JSON form', async () => {
    const { connection } = await openOne();
    const writer = connection.sink.getWriter();
    writer.closed.catch(() => {});
    await expect(writer.write(undefined)).rejects.toThrow(TypeError);
  });

  it('takes what another stream pipes into it', async () => {
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

  it('echoes, stream to sink', async () => {
    const { client, connection } = await openOne();
    const echo = connection.stream.pipeTo(connection.sink);
    await client.post({ messages: ['a', 'b'] });
    expect([await client.stream.takeData(), await client.stream.takeData()]).toEqual(['a', 'b']);
    await client.post({ id: 2, ...GOODBYE });
    await echo;
    expect(connection.readyState).toBe(3);
  });

  it('tells a stream that is piped into it, and says nothing, of the end', async () => {
    const { client, connection } = await openOne();
    let cancelled: unknown;
    const silent = new ReadableStream({ cancel: (reason) => void (cancelled = reason) });
    const piping = silent.pipeTo(connection.sink).catch((error: unknown) => error);
    await client.post(GOODBYE);
    expect(await piping).toEqual(
      new Error('the connection is closed: check readyState, or listen for "close"'),
    );
    expect(cancelled).toEqual(
      new Error('the connection is closed: check readyState, or listen for "close"'),
    );
  });
});
