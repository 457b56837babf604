import { SseClient } from '../../lib/client/index';
import { openChannel, record } from '../helpers/channel';
import { eventsOf, messagesOf, next, openClient } from '../helpers/client';
import { waitFor } from '../helpers/wait-for';

async function openBoth(options: Parameters<typeof openChannel>[0] = {}) {
  const channel = await openChannel(options);
  const posts: { id: number; ack: number; messages: unknown[] }[] = [];
  const fetching = async (url: string, init: RequestInit) => {
    if (init.method === 'POST') posts.push(JSON.parse(init.body as string) as (typeof posts)[0]);
    return fetch(url, init);
  };
  const client = openClient(channel.url, { fetch: fetching });
  await next(client, 'open');
  const connection = channel.connections[0]!;
  return { ...channel, client, connection, posts };
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

describe('SseClient', () => {
  it('has the readyState constants of WebSocket and an absolute url', () => {
    const { CONNECTING, OPEN, CLOSING, CLOSED } = SseClient;
    expect([CONNECTING, OPEN, CLOSING, CLOSED]).toEqual([0, 1, 2, 3]);
    const client = openClient('http://127.0.0.1:1/a/../sse');
    expect([client.url, client.readyState]).toEqual(['http://127.0.0.1:1/sse', 0]);
  });

  it('throws for an invalid URL', () => {
    expect(() => new SseClient('/sse')).toThrow('Invalid URL');
  });

  it('connects when it is created', async () => {
    const { client, connection } = await openBoth();
    expect([client.readyState, connection.connected]).toEqual([1, true]);
  });

  it('receives messages of any JSON type in the order in which the server sent them', async () => {
    const { client, connection } = await openBoth();
    const messages = messagesOf(client);
    const sent = ['a', { b: [1, null] }, null, false, 0, 'ü\n\u2028😀'];
    sent.forEach((message) => connection.send(message));
    await waitFor(() => messages.length === sent.length);
    expect(messages).toEqual(sent);
  });

  it('sends messages of any JSON type in order', async () => {
    const { client, connection } = await openBoth();
    const messages = record(connection, 'message');
    const sent = ['a', { b: [1, null] }, null, false, 0, 'ü\n\u2028😀'];
    sent.forEach((message) => client.send(message));
    await waitFor(() => messages.length === sent.length);
    expect(messages.flat()).toEqual(sent);
  });

  it('keeps messages that are sent before the session is open', async () => {
    const { url, connections } = await openChannel();
    const client = openClient(url);
    client.send('early');
    expect(client.bufferedAmount).toBe('"early"'.length);
    await next(client, 'open');
    const messages = record(connections[0]!, 'message');
    await waitFor(() => messages.length > 0);
    expect(messages).toEqual([['early']]);
    await waitFor(() => client.bufferedAmount === 0);
  });

  it('dispatches drain when the server has acknowledged messages', async () => {
    const { client, connection } = await openBoth();
    record(connection, 'message');
    client.send('x');
    await waitFor(() => client.bufferedAmount > 0);
    while (client.bufferedAmount > 0) await next(client, 'drain');
    expect(client.bufferedAmount).toBe(0);
  });

  it('sends all messages of one task in one POST, and those of the next task in the next POST', async () => {
    const { client, connection, posts } = await openBoth();
    const messages = record(connection, 'message');
    for (const number of upTo(1000)) client.send(number);
    await waitFor(() => posts.length > 0);
    for (const number of upTo(1000)) client.send(1000 + number);
    await waitFor(() => messages.length === 2000);
    expect(messages.flat()).toEqual(upTo(2000));
    expect(posts.map(({ id }) => id)).toEqual([0, 1000]);
  });

  it('splits batches so that none exceeds maxPayload', async () => {
    const { client, connection, posts } = await openBoth({ maxPayload: 100 });
    const messages = record(connection, 'message');
    const text = (i: number) => String(i).repeat(28); // 30 bytes: three and two commas are 92
    for (const number of upTo(8)) client.send(text(number));
    await waitFor(() => messages.length === 8);
    expect(messages.flat()).toEqual(upTo(8).map(text));
    expect(posts.map((post) => post.messages.length)).toEqual([3, 3, 2]);
  });

  it.each([
    [92, [3, 3]],
    [91, [2, 2, 2]],
  ])(
    'fills a batch up to the last byte of maxPayload, counting commas: %i',
    async (maxPayload, lengths) => {
      const { client, connection, posts } = await openBoth({ maxPayload });
      const messages = record(connection, 'message');
      for (let i = 0; i < 6; i++) client.send('x'.repeat(28)); // 30 bytes
      await waitFor(() => messages.length === 6);
      expect(posts.map((post) => post.messages.length)).toEqual(lengths);
    },
  );

  it.each([
    ['undefined', undefined],
    ['a function', () => {}],
    ['a symbol', Symbol('x')],
    ['a BigInt', 1n],
  ])('throws a TypeError for %s in send()', async (_, message) => {
    const { client, posts } = await openBoth();
    expect(() => client.send(message)).toThrow(TypeError);
    if (message !== 1n)
      expect(() => client.send(message)).toThrow(`cannot send: ${typeof message}`);
    expect([client.bufferedAmount, posts]).toEqual([0, []]);
  });

  it('throws a RangeError for a message larger than maxPayload and sends the next one', async () => {
    const { client, connection } = await openBoth({ maxPayload: 10 });
    const messages = record(connection, 'message');
    expect(() => client.send('123456789')).toThrow(
      new RangeError("cannot send: 11 bytes exceed the server's maxPayload, 10"),
    );
    expect(() => client.send('éééé€')).toThrow(RangeError);
    client.send('12345678');
    await waitFor(() => messages.length === 1);
    expect(messages).toEqual([['12345678']]);
  });

  it('acknowledges after about 2,048 messages', async () => {
    const { client, connection, posts } = await openBoth();
    const messages = messagesOf(client);
    for (const number of upTo(1_900)) connection.send(number);
    await waitFor(() => messages.length === 1_900);
    expect(posts).toEqual([]);
    for (const number of upTo(148)) connection.send(number);
    await waitFor(() => messages.length === 2_048 && posts.length > 0);
    expect(posts).toHaveLength(1);
    expect(posts[0]).toMatchObject({ id: 0, messages: [] });
    expect(posts[0]!.ack).toBeGreaterThan(1_900);
  });

  it('acknowledges after about 256 KiB', async () => {
    const { client, connection, posts } = await openBoth();
    const messages = messagesOf(client);
    for (let i = 0; i < 3; i++) connection.send('x'.repeat(80_000));
    await waitFor(() => messages.length === 3);
    expect(posts).toEqual([]);
    connection.send('x'.repeat(22_000));
    await waitFor(() => posts.length > 0);
    expect(posts).toMatchObject([{ id: 0, ack: 4, messages: [] }]);
  });

  it('acknowledges in a POST that carries messages', async () => {
    const { client, connection, posts } = await openBoth();
    record(connection, 'message');
    connection.send('x');
    await next(client, 'message');
    client.send('y');
    await waitFor(() => posts.length > 0);
    expect(posts).toMatchObject([{ ack: 1, messages: ['y'] }]);
  });

  it('calls the last handler that was set for each type of event', async () => {
    const { url, connections } = await openChannel();
    const client = openClient(url);
    const calls: string[] = [];
    client.onopen = () => calls.push('never');
    client.onopen = () => calls.push('open');
    client.onmessage = ({ data }) => calls.push(`message ${String(data)}`);
    client.onclose = ({ code }) => calls.push(`close ${code}`);
    await next(client, 'open');
    connections[0]!.send(1);
    connections[0]!.send(2);
    connections[0]!.close(4000);
    await next(client, 'close');
    await waitFor(() => calls.length === 4);
    expect(calls).toEqual(['open', 'message 1', 'message 2', 'close 4000']);
  });

  it('does not call a handler that was set to null', async () => {
    const { client, connection } = await openBoth();
    const handler = jest.fn();
    client.onmessage = handler;
    connection.send(1);
    await next(client, 'message');
    expect(handler).toHaveBeenCalledTimes(1);
    client.onmessage = null;
    connection.send(2);
    await next(client, 'message');
    expect(handler).toHaveBeenCalledTimes(1);
  });

  it('does not call a listener that was removed', async () => {
    const { client, connection } = await openBoth();
    const never = jest.fn();
    client.addEventListener('message', never);
    client.removeEventListener('message', never);
    connection.send('x');
    await next(client, 'message');
    expect(never).not.toHaveBeenCalled();
  });
});

describe('The session id of an SseClient', () => {
  it('differs from that of every other client', async () => {
    const { url, sse } = await openChannel();
    const clients = upTo(5).map(() => openClient(url));
    await Promise.all(clients.map((client) => next(client, 'open')));
    expect(sse.connections.size).toBe(5);
  });

  it('begins with debugKey', async () => {
    const { url, connections } = await openChannel();
    await next(openClient(url, { debugKey: 'a b+c' }), 'open');
    expect(connections[0]!.id).toMatch(/^a b\+c-/);
  });

  it('is added to the query of the URL', async () => {
    const { url, connections } = await openChannel();
    const client = openClient(`${url}?room=1`);
    await next(client, 'open');
    expect(connections[0]!.request.url).toMatch(/[?]room=1&.*sseProtocol=2/);
    const messages = record(connections[0]!, 'message');
    client.send('x');
    await waitFor(() => messages.length > 0);
  });
});

describe('An SseClient whose stream is lost', () => {
  it('reconnects, and delivers every message exactly once and in order', async () => {
    const { client, connection, server } = await openBoth();
    const [up, down] = [record(connection, 'message'), messagesOf(client)];
    const lost = eventsOf(client, 'disconnect');
    const back = eventsOf(client, 'reconnect');
    for (let i = 0; i < 50; i++) {
      connection.send(i);
      client.send(i);
      if (i % 10 === 5) {
        await waitFor(() => client.readyState === 1 && connection.connected);
        server.closeAllConnections();
      }
    }
    await waitFor(() => up.length === 50 && down.length === 50);
    expect([up.flat(), down]).toEqual([upTo(50), upTo(50)]);
    await waitFor(() => lost.length === back.length);
    expect(lost.length).toBeGreaterThan(0);
    expect(client.readyState).toBe(1);
  });

  it('delivers the messages that both sides send while the stream is lost', async () => {
    const { client, connection, server } = await openBoth();
    const messages = record(connection, 'message');
    const lost = next(client, 'disconnect');
    server.closeAllConnections();
    const { reason } = await lost;
    expect(reason).not.toBe('');
    client.send('x');
    connection.send('y');
    expect((await next(client, 'message')).data).toBe('y');
    await waitFor(() => messages.length > 0);
    expect(messages).toEqual([['x']]);
  });

  it('dispatches sessionlost with the unacknowledged messages when the server has lost the session', async () => {
    const { client, connection, server, connections } = await openBoth({ reconnectTimeout: 0 });
    connection.pause();
    record(connection, 'message');
    const [resets, opens] = [eventsOf(client, 'sessionlost'), eventsOf(client, 'open')];
    server.closeAllConnections();
    await waitFor(() => connection.readyState === 3);
    client.send('a');
    client.send({ b: 1 });
    await waitFor(() => opens.length > 0);
    const [reset] = resets;
    expect(resets).toHaveLength(1);
    // What was sent before the loss was known is named; it may have gone to the new session only if
    // it was sent after.
    expect(reset!.unacknowledged).toEqual(['a', { b: 1 }]);
    expect(connections).toHaveLength(2);
    expect(client.bufferedAmount).toBe(0);
    connections[1]!.send('new');
    expect((await next(client, 'message')).data).toBe('new');
  });

  it('closes when the server has lost the session and renewSession is false', async () => {
    const { url, server, connections } = await openChannel({ reconnectTimeout: 0 });
    const client = openClient(url, { renewSession: false });
    await next(client, 'open');
    const resets = eventsOf(client, 'sessionlost');
    server.closeAllConnections();
    const close = await next(client, 'close');
    expect(close).toMatchObject({ code: 1006, wasClean: false, unacknowledged: [] });
    expect([resets, connections.length, client.readyState]).toEqual([[], 1, 3]);
  });
});

describe('The end of an SseClient', () => {
  it('closes with its code and reason after everything that it sent was delivered', async () => {
    const { client, connection } = await openBoth();
    const messages = record(connection, 'message');
    const closes = record(connection, 'close');
    client.send('last');
    client.close(4001, 'done');
    expect(client.readyState).toBe(2);
    expect(() => client.send('late')).toThrow(/^cannot send in readyState [23]: /);
    const close = await next(client, 'close');
    expect(close).toMatchObject({ code: 4001, reason: 'done', wasClean: true, unacknowledged: [] });
    expect(client.readyState).toBe(3);
    expect(messages).toEqual([['last']]);
    expect(closes).toEqual([[4001, 'done', { unacknowledged: [] }]]);
    expect(() => client.send('late')).toThrow(/^cannot send in readyState [23]: /);
  });

  it('ignores a second close()', async () => {
    const { client, connection } = await openBoth();
    const closes = eventsOf(client, 'close');
    const told = record(connection, 'close');
    client.close(4001);
    client.close(4002);
    await waitFor(() => closes.length > 0);
    client.close(4003);
    expect([closes.map(({ code }) => code), told.map(([code]) => code)]).toEqual([[4001], [4001]]);
  });

  it.each([999, 1004, 1006, 1015, 2999, 5000, 1000.5, NaN])(
    'throws a RangeError for close code %p and stays open',
    async (code) => {
      const { client } = await openBoth();
      expect(() => client.close(code)).toThrow(RangeError);
      expect(client.readyState).toBe(1);
    },
  );

  it.each([1001, 1011, 3000, 4999])('accepts close code %p', async (code) => {
    const { client, connection } = await openBoth();
    const closes = record(connection, 'close');
    client.close(code, 'é'.repeat(61));
    expect(await next(client, 'close')).toMatchObject({ code, reason: 'é'.repeat(61) });
    expect(closes[0]![0]).toBe(code);
  });

  it('throws a RangeError for a close reason of more than 123 bytes and stays open', async () => {
    const { client } = await openBoth();
    expect(() => client.close(4000, 'é'.repeat(62))).toThrow(/^invalid close reason: 124 bytes/);
    expect(client.readyState).toBe(1);
  });

  it('validates close() also when it is closed', async () => {
    const { client } = await openBoth();
    client.close();
    await next(client, 'close');
    expect(() => client.close(1)).toThrow(RangeError);
  });

  it('sends no request when it is closed in the turn in which it was created', async () => {
    const fetching = jest.fn(() => Promise.reject(new Error('no network')));
    const client = openClient('http://127.0.0.1:1/sse', { fetch: fetching });
    client.close();
    expect(await next(client, 'close')).toMatchObject({ code: 1000, wasClean: false });
    expect(fetching).not.toHaveBeenCalled();
  });

  it('leaves no session on the server when it is closed before it is open', async () => {
    const { url, sse } = await openChannel();
    const client = openClient(url);
    const opens = eventsOf(client, 'open');
    await Promise.resolve(); // the GET is sent
    client.close();
    expect(client.readyState).toBe(2);
    expect(await next(client, 'close')).toMatchObject({
      code: 1000,
      wasClean: true,
      unacknowledged: [],
    });
    expect(opens).toEqual([]);
    expect([sse.stats().opened, sse.stats().connections]).toEqual([1, 0]);
  });

  it('closes when its GET fails, if it is closed before it is open', async () => {
    const requests: ((error: Error) => void)[] = [];
    const client = openClient('http://127.0.0.1:1/sse', {
      fetch: () => new Promise((_, reject) => requests.push(reject)),
    });
    await waitFor(() => requests.length === 1);
    client.close(4000, 'done');
    requests[0]?.(new Error('no network'));
    const { code, reason, wasClean } = await next(client, 'close');
    expect([code, reason, wasClean, requests.length]).toEqual([4000, 'done', false, 1]);
  });

  it('closes at once between two attempts to open a session', async () => {
    const fetching = () => Promise.reject(new Error('no network'));
    const client = openClient('http://127.0.0.1:1/sse', { fetch: fetching, backoff: () => 60_000 });
    await next(client, 'error');
    client.close();
    expect(await next(client, 'close')).toMatchObject({ code: 1000, wasClean: false });
  });

  it('reports the code and reason of a server that closes', async () => {
    const { client, connection } = await openBoth();
    const messages = messagesOf(client);
    const told = record(connection, 'close');
    connection.send('last');
    connection.close(4000, 'bye');
    const close = await next(client, 'close');
    expect(close).toMatchObject({ code: 4000, reason: 'bye', wasClean: true, unacknowledged: [] });
    expect(messages).toEqual(['last']);
    expect(told).toEqual([[4000, 'bye', { unacknowledged: [] }]]);
  });

  it('delivers what it sends before it has received the close of the server', async () => {
    const { client, connection } = await openBoth();
    const messages = record(connection, 'message');
    connection.close(4000);
    for (const number of upTo(10)) client.send(number);
    await next(client, 'close');
    expect(messages.flat()).toEqual(upTo(10));
  });

  it('reports code 1008 and the limit when the server closes for a limit', async () => {
    const { client, connection } = await openBoth({ maxBufferedAmount: 10 });
    connection.send('0123456789');
    const close = await next(client, 'close');
    expect(close.code).toBe(1008);
    expect(close.reason).toContain('maxBufferedAmount');
  });

  it('dispatches sessionlost and tries to open a new session when the server restarts', async () => {
    const { client, sse } = await openBoth({ reconnectJitter: 1 });
    const resets = eventsOf(client, 'sessionlost');
    await sse.close();
    await waitFor(() => resets.length > 0);
    expect(resets[0]).toMatchObject({ unacknowledged: [] });
    expect(client.readyState).toBe(0);
    // The server does not open a session while it is closing.
    expect((await next(client, 'error')).message).toContain('try again in');
  });

  it('closes when the server stops with a code of its own', async () => {
    const { client, sse } = await openBoth();
    const closed = next(client, 'close');
    await sse.close(4005, 'over');
    expect(await closed).toMatchObject({ code: 4005, reason: 'over', wasClean: true });
  });

  it('dispatches error and close when it is not authorized', async () => {
    const { url } = await openChannel({ authorize: () => false });
    const client = openClient(url);
    const errors = eventsOf(client, 'error');
    const close = await next(client, 'close');
    expect(close).toMatchObject({ code: 1006, reason: 'not authorized', wasClean: false });
    expect(errors.map(({ message }) => message)).toEqual(['not authorized']);
  });

  it('closes with the limit as reason and the message as unacknowledged when a message is too large', async () => {
    const { url } = await openChannel({ maxPayload: 10 });
    const client = openClient(url);
    const errors = eventsOf(client, 'error');
    const large = 'x'.repeat(2000); // sent before the client knows maxPayload
    client.send(large);
    const close = await next(client, 'close');
    expect(close).toMatchObject({ wasClean: false, unacknowledged: [large] });
    expect(close.reason).toContain('"maxPayload"');
    expect(errors.map(({ message }) => message)).toEqual([close.reason]);
  });
});

describe('The Web Streams of an SseClient', () => {
  it('are also its readable and writable', async () => {
    const { client } = await openBoth();
    expect(client.readable).toBe(client.stream);
    expect(client.writable).toBe(client.sink);
  });

  it('make it a transform pair for pipeThrough', async () => {
    const { client, connection } = await openBoth();
    record(connection, 'message');
    connection.on('message', (message) => connection.send({ echo: message }));
    const source = new ReadableStream<unknown>({ start: (controller) => controller.enqueue('x') });
    const reader = source.pipeThrough(client).getReader();
    expect((await reader.read()).value).toEqual({ echo: 'x' });
  });
});

describe('The stream of an SseClient', () => {
  it('delivers the messages and ends when the client closes', async () => {
    const { client, connection } = await openBoth();
    expect(client.stream).toBe(client.stream);
    const messages: unknown[] = [];
    const reading = (async () => {
      for await (const message of client.stream) messages.push(message);
    })();
    for (const number of upTo(100)) connection.send(number);
    await waitFor(() => messages.length === 100);
    connection.close();
    await reading;
    expect(messages).toEqual(upTo(100));
  });

  it('applies back-pressure to the server while it is not read, and loses no message', async () => {
    const { client, connection } = await openBoth({ highWaterMark: 1000 });
    const reader = client.stream.getReader();
    const text = 'x'.repeat(1 << 20);
    for (let i = 0; i < 15; i++) connection.send(text);
    expect((await reader.read()).value === text).toBe(true);
    await waitFor(() => connection.bufferedAmount > 1000);
    for (let i = 1; i < 15; i++) expect((await reader.read()).value === text).toBe(true);
    await waitFor(() => connection.bufferedAmount === 0);
  });

  it('closes the client when it is cancelled', async () => {
    const { client, connection } = await openBoth();
    const closed = next(client, 'close');
    const told = record(connection, 'close');
    await client.stream.cancel();
    expect(await closed).toMatchObject({ code: 1000, wasClean: true });
    expect(told).toHaveLength(1);
  });

  it('closes the client when a `for await` loop is left', async () => {
    const { client, connection } = await openBoth();
    const closed = next(client, 'close');
    const reading = (async () => {
      for await (const message of client.stream) return message;
      return undefined;
    })();
    connection.send('x');
    connection.send('y');
    expect(await reading).toBe('x');
    expect((await closed).code).toBe(1000);
  });
});

describe('The sink of an SseClient', () => {
  it('sends the messages that are written', async () => {
    const { client, connection } = await openBoth();
    const messages = record(connection, 'message');
    const writer = client.sink.getWriter();
    await writer.write('a');
    await writer.write({ b: 1 });
    await waitFor(() => messages.length === 2);
    expect(messages.flat()).toEqual(['a', { b: 1 }]);
  });

  it('lets the writer wait until enough messages are acknowledged', async () => {
    const { client, connection } = await openBoth();
    const writer = client.sink.getWriter();
    record(connection, 'message');
    await writer.write('x'.repeat(70_000));
    expect(client.bufferedAmount).toBe(0);
  });

  it('ends the wait of a writer when the client closes', async () => {
    const { client, connection } = await openBoth({ highWaterMark: 1 });
    connection.pause();
    const writer = client.sink.getWriter();
    writer.closed.catch(() => {});
    await writer.write('x'.repeat(100_000));
    const waiting = writer.write('y'.repeat(100_000)).catch(() => 'failed');
    const closed = next(client, 'close');
    connection.close(4000);
    connection.resume();
    record(connection, 'message');
    await closed;
    await waiting;
    await expect(writer.write('z')).rejects.toThrow();
  });

  it('ends the wait of a writer when a request is rejected with a final code', async () => {
    let isAllowed = true;
    const { client } = await openBoth({ authorize: () => isAllowed });
    const writer = client.sink.getWriter();
    writer.closed.catch(() => {});
    isAllowed = false;
    await writer.write('x'.repeat(100_000)); // refused for good
    expect(client.readyState).toBe(SseClient.CLOSED);
    await expect(writer.write('y')).rejects.toThrow();
  });

  it('closes the client after everything that was written, when it is closed', async () => {
    const { client, connection } = await openBoth();
    const messages = record(connection, 'message');
    const closed = next(client, 'close');
    const writer = client.sink.getWriter();
    void writer.write('last');
    await writer.close();
    expect((await closed).wasClean).toBe(true);
    expect(messages).toEqual([['last']]);
  });

  it('closes the client when it is aborted', async () => {
    const { client } = await openBoth();
    const closed = next(client, 'close');
    await client.sink.abort();
    expect((await closed).code).toBe(1000);
  });

  it('rejects a write of a message that has no JSON form', async () => {
    const { client } = await openBoth();
    const writer = client.sink.getWriter();
    writer.closed.catch(() => {});
    await expect(writer.write(undefined)).rejects.toThrow(TypeError);
  });
});
