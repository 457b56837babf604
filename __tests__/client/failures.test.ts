import { SseClient } from '../../lib/client/index';
import { messagesOf, eventsOf, next, openClient } from '../helpers/client';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { onTestFinished } from '../helpers/on-test-finished';
import { URL_, message, ping, start, startOpen } from '../helpers/scripted-client';
import { scriptFetch } from '../helpers/scripted-fetch';
import { waitFor } from '../helpers/wait-for';

describe('A failed POST of an SseClient', () => {
  it.each([
    [200, '<!doctype html>'],
    [301, ''],
    [307, ''],
    [401, 'log in'],
    [403, { message: 'invalid csrf token' }],
    [405, ''],
    [501, ''],
  ])('is reported as an error after status %i with the body %j', async (status, body) => {
    const { client, next: request } = await startOpen();
    const failed = next(client, 'error');
    client.send('a');
    (await request('POST')).answer(status, body);
    expect((await failed).message).toBe(
      `cannot send: HTTP ${status}, not from sse-duplex: check URL, login and proxy`,
    );
    expect(client.readyState).toBe(1);
  });

  it.each([
    [413, 'body size limits'],
    [429, 'rate limits'],
  ])('is reported as an error that names limits after status %i', async (status, limits) => {
    const { client, next: request } = await startOpen();
    const failed = next(client, 'error');
    client.send('a');
    (await request('POST')).answer(status, 'too much');
    expect((await failed).message).toBe(
      `cannot send: HTTP ${status}, not from sse-duplex: check ${limits}`,
    );
    expect(client.readyState).toBe(1);
  });

  it('is reported as a redirect when the browser hides its status', async () => {
    const { client, next: request } = await startOpen();
    const failed = next(client, 'error');
    client.send('a');
    (await request('POST')).respond(Response.error()); // status 0, as an opaque redirect has
    expect((await failed).message).toContain('HTTP redirect, not from sse-duplex');
  });

  it('is reported with the text of the server', async () => {
    const { client, next: request } = await startOpen();
    const failed = next(client, 'error');
    client.send('a');
    (await request('POST')).answer(503, { code: 'service-unavailable', message: 'busy' });
    expect((await failed).message).toBe('cannot send: busy');
  });

  it('is repeated without an error when the network fails once, and reported from the second time on', async () => {
    const { client, next: request } = await startOpen();
    const errors = eventsOf(client, 'error');
    client.send('a');
    (await request('POST')).fail();
    const second = await request('POST');
    expect(errors).toEqual([]);
    second.fail();
    (await request('POST')).fail();
    (await request('POST')).answer(200, { received: 1 });
    await waitFor(() => client.bufferedAmount === 0);
    expect(errors.map(({ message: text }) => text)).toEqual([
      'cannot send: TypeError: fetch failed',
      'cannot send: TypeError: fetch failed',
    ]);
  });

  it('is reported when there is no response in 1.5 heartbeat intervals', async () => {
    const { client } = await startOpen({}, { heartbeat: 20 });
    const failed = next(client, 'error');
    client.send('a');
    expect((await failed).message).toBe(
      'cannot send: no response in 30 ms: slow uplink or 6 streams open on HTTP/1.1',
    );
  });

  it('is not reported when the session has ended meanwhile', async () => {
    const { client, next: request } = await startOpen();
    const errors = eventsOf(client, 'error');
    const closed = next(client, 'close');
    client.send('a');
    const end = { close: { code: 4000, reason: 'bye' } };
    (await request('POST')).answer(410, { code: 'session-closed', message: 'closed', ...end });
    await closed;
    await turn();
    expect(errors).toEqual([]);
  });
});

describe('A batch of an SseClient', () => {
  const text = 'x'.repeat(8); // 10 bytes of JSON

  it.each([
    [413, ''],
    [413, { code: 'content-too-large', message: 'too large' }],
    [408, { code: 'request-timeout', message: 'too slow' }],
  ])(
    'is halved after status %i with the body %j, and grows again after a success by a tenth and 1,000 bytes',
    async (status, body) => {
      const { client, next: request } = await startOpen({}, { maxPayload: 100_000 });
      const errors = eventsOf(client, 'error');
      for (let i = 0; i < 2_000; i++) client.send(text);
      const sizes: number[] = [];
      const post = async () => {
        const pending = await request('POST');
        const { messages } = pending.body as { messages: unknown[] };
        sizes.push(messages.length);
        return pending;
      };
      (await post()).answer(status, body);
      (await post()).answer(status, body);
      (await post()).answer(200, { received: 500 });
      await post();
      // 11 bytes each with its comma; 25 % of 21,999 bytes, and a tenth and 1,000 more
      expect(sizes).toEqual([2_000, 1_000, 500, 640]);
      expect(errors).toHaveLength(2);
      expect(client.readyState).toBe(1);
    },
  );

  it('is halved when there is no response in time', async () => {
    const { client, next: request } = await startOpen({}, { heartbeat: 20, maxPayload: 10_000 });
    for (let i = 0; i < 100; i++) client.send(text);
    await request('POST');
    expect((await request('POST')).body).toMatchObject({ id: 0, messages: { length: 50 } });
  });

  it('is not halved when the network fails', async () => {
    const { client, next: request } = await startOpen({}, { maxPayload: 10_000 });
    for (let i = 0; i < 100; i++) client.send(text);
    (await request('POST')).fail();
    expect((await request('POST')).body).toMatchObject({ messages: { length: 100 } });
  });

  it('is halved in bytes of UTF-8, of which a character may have several', async () => {
    const { client, next: request } = await startOpen({}, { maxPayload: 10_000 });
    for (let i = 0; i < 100; i++) client.send('€'.repeat(8));
    (await request('POST')).answer(413, '');
    expect((await request('POST')).body).toMatchObject({ messages: { length: 50 } });
  });

  it.each([
    ['without messages', 0],
    ['with one message', 1],
  ])('is not made smaller by a failed POST %s', async (_, count) => {
    const { client, next: request, stream } = await startOpen({}, { maxPayload: 10_000 });
    const fail = async () => {
      const post = await request('POST');
      expect(post.body).toMatchObject({ messages: { length: count } });
      post.answer(413, '');
    };
    if (count > 0) client.send(text);
    else stream.write(message(1) + message(2) + message(3)); // as many as ackAfter.messages
    await fail();
    for (let i = count; i < 100; i++) client.send(text);
    expect((await request('POST')).body).toMatchObject({ messages: { length: 100 } });
  });

  it('is not made smaller by a POST without messages that gets no response', async () => {
    const {
      client,
      next: request,
      stream,
    } = await startOpen({}, { heartbeat: 20, maxPayload: 10_000 });
    const failed = next(client, 'error');
    stream.write(message(1) + message(2) + message(3));
    expect((await request('POST')).body).toMatchObject({ messages: [], ack: 3 });
    expect((await failed).message).toContain('no response');
    for (let i = 0; i < 100; i++) client.send(text);
    expect((await request('POST')).body).toMatchObject({ messages: { length: 100 } });
  });

  it('of one message is repeated as it is when a proxy rejects it for its size', async () => {
    const { client, next: request } = await startOpen();
    client.send(text);
    for (let i = 0; i < 3; i++) (await request('POST')).answer(413, '');
    expect((await request('POST')).body).toMatchObject({ id: 0, messages: [text] });
  });
});

describe('The send buffer of an SseClient', () => {
  it('accepts messages up to maxBufferedAmount, and again after an acknowledgement', async () => {
    const { client, next: request } = await startOpen({ maxBufferedAmount: 20 });
    client.send('x'.repeat(8));
    client.send('x'.repeat(8));
    expect(() => client.send(1)).toThrow(
      new RangeError(
        'cannot send: 20 bytes are unacknowledged, wait for "drain" (option "maxBufferedAmount")',
      ),
    );
    expect(client.bufferedAmount).toBe(20);
    const drained = next(client, 'drain');
    (await request('POST')).answer(200, { received: 1 });
    await drained;
    client.send(1);
    expect((await request('POST')).body).toMatchObject({ id: 1, messages: ['x'.repeat(8), 1] });
  });

  it('has room for 16 MiB by default, also before the session is open', () => {
    const { client } = start();
    for (let i = 0; i < 16; i++) client.send('x'.repeat(2 ** 20 - 2));
    expect(() => client.send('')).toThrow(RangeError);
  });

  it('dispatches drain only when messages were acknowledged', async () => {
    const { client, stream, next: request } = await startOpen();
    const drains = eventsOf(client, 'drain');
    const received = messagesOf(client);
    client.send('a');
    const post = await request('POST');
    stream.write(ping(0, 0) + message('x'));
    await waitFor(() => received.length > 0);
    expect(drains).toHaveLength(0);
    stream.write(ping(1, 1) + message('y'));
    await waitFor(() => received.length > 1);
    expect(drains).toHaveLength(1);
    post.answer(200, { received: 1 });
    for (let i = 0; i < 5; i++) await turn();
    expect(drains).toHaveLength(1);
  });

  it('dispatches no drain when the session ends with unacknowledged messages', async () => {
    const { client, next: request } = await startOpen();
    const drains = eventsOf(client, 'drain');
    const closed = next(client, 'close');
    client.send('a');
    (await request('POST')).answer(403, { code: 'forbidden', message: 'no' });
    expect((await closed).unacknowledged).toEqual(['a']);
    expect(drains).toEqual([]);
  });
});

describe('A message that is too long for an SseClient', () => {
  const endless = `data: ${'x'.repeat(30_000_001)}`;

  it('closes the session with code 1009 on both sides and opens no other', async () => {
    const { client, stream, next: request, waiting } = await startOpen();
    const errors = eventsOf(client, 'error');
    const closed = next(client, 'close');
    client.send('last');
    stream.write(endless);
    const close = { code: 1009, reason: 'an event exceeds 30000000 characters' };
    let post = await request('POST');
    if (!('close' in (post.body as object))) {
      post.answer(200, { received: 1 });
      post = await request('POST');
    }
    expect(post.body).toMatchObject({ close });
    post.answer(200, { received: 1 });
    expect(await closed).toMatchObject({ ...close, wasClean: true });
    expect(errors.map(({ message }) => message)).toEqual([close.reason]);
    expect(waiting()).toBe(0);
  });

  it('makes the attempt to connect fail when it comes before hello', async () => {
    const { client, next: request } = start();
    const failed = next(client, 'error');
    const get = await request('GET');
    get.stream().write(endless);
    expect((await failed).message).toBe('an event exceeds 30000000 characters');
    expect(get.isAborted()).toBe(true); // the rest is not received
    (await request('GET')).hello();
    await next(client, 'open');
  });
});

describe('The fetch of an SseClient', () => {
  it('makes the client report the cause of its exception', async () => {
    const cause = new Error('connect ECONNREFUSED 127.0.0.1:1');
    const client = openClient(URL_, {
      fetch: () => Promise.reject(new TypeError('fetch failed', { cause })),
    });
    expect((await next(client, 'error')).message).toBe(
      'TypeError: fetch failed: connect ECONNREFUSED 127.0.0.1:1',
    );
  });

  it('makes the client report the code of a cause that has no text', async () => {
    const cause = Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' });
    const client = openClient(URL_, {
      fetch: () => Promise.reject(new TypeError('fetch failed', { cause })),
    });
    expect((await next(client, 'error')).message).toBe('TypeError: fetch failed: ECONNREFUSED');
  });

  it('closes the client when the body of its response is not a Web stream', async () => {
    const { client, next: request, waiting } = start();
    const errors = eventsOf(client, 'error');
    const closed = next(client, 'close');
    const response = new Response('', { headers: { 'Content-Type': 'text/event-stream' } });
    Object.defineProperty(response, 'body', { value: { pipe() {} } }); // as node-fetch
    (await request('GET')).respond(response);
    const reason = 'the body of a response is not a ReadableStream: change the option "fetch"';
    expect(await closed).toMatchObject({ code: 1006, reason, wasClean: false });
    expect(errors).toMatchObject([{ message: reason }]);
    await turn();
    expect(waiting()).toBe(0);
  });

  it('must exist when the client is created', () => {
    const { fetch } = globalThis;
    Reflect.deleteProperty(globalThis, 'fetch');
    try {
      expect(() => new SseClient(URL_)).toThrow(
        new TypeError('there is no global fetch here: pass one as the option "fetch"'),
      );
    } finally {
      globalThis.fetch = fetch;
    }
  });

  it('is asked to follow no redirect, which could carry the token to another origin', async () => {
    const { client, get, next: request } = await startOpen();
    client.send('a');
    const post = await request('POST');
    expect([get.init.redirect, post.init.redirect]).toEqual(['manual', 'manual']);
  });
});

describe('The headers of an SseClient', () => {
  it.each([
    ['an object', { 'X-App': '1' }],
    ['pairs', [['X-App', '1']] as [string, string][]],
    ['Headers', new Headers({ 'X-App': '1' })],
    ['a function', () => ({ 'X-App': '1' })],
    ['an asynchronous function', () => Promise.resolve(new Headers({ 'X-App': '1' }))],
  ])('may be given as %s', async (_, headers) => {
    const { client, get, next: request } = await startOpen({ headers });
    expect(get.headers).toEqual({ accept: 'text/event-stream', 'x-app': '1' });
    client.send('a');
    expect((await request('POST')).headers).toEqual({ 'x-app': '1' });
  });

  it('cannot replace those of the protocol', async () => {
    const { get } = await startOpen({ headers: { accept: 'text/html' } });
    expect(get.headers).toEqual({ accept: 'text/event-stream' });
  });

  it('make a request fail, and be repeated, while their function throws', async () => {
    let calls = 0;
    const { client, next: request } = start({
      headers: () => {
        if (calls++ === 0) throw new Error('no access token');
        return {};
      },
    });
    expect((await next(client, 'error')).message).toBe('Error: no access token');
    (await request('GET')).hello();
    await next(client, 'open');
  });
});

describe('A headers function of an SseClient that never settles', () => {
  const headers = jest.fn(() => Promise.resolve({}));
  const hang = () => headers.mockReturnValueOnce(new Promise(() => {}));

  it('makes a GET fail after the time that it has', async () => {
    useFakeTimeouts();
    hang();
    const { client, next: request } = start({ headers, transport: 'stream', backoff: () => 0 });
    const failed = next(client, 'error');
    await turn();
    jest.advanceTimersByTime(10_000);
    expect((await failed).message).toMatch(/^no event in 10000 ms/);
    await turn();
    jest.advanceTimersByTime(0);
    await request('GET');
  });

  it('makes a POST fail after the time that it has', async () => {
    const { client, next: request } = await startOpen({ headers }, { heartbeat: 20 });
    const failed = next(client, 'error');
    hang();
    client.send('a');
    expect((await failed).message).toMatch(/^cannot send: no response in 30 ms/);
    expect((await request('POST')).body).toMatchObject({ messages: ['a'] });
  });
});

describe('A backoff function of an SseClient that fails', () => {
  const failing = (): never => {
    throw new Error('no table');
  };

  it.each([
    ['throws', failing, 'Error: no table'],
    [
      'returns no number',
      () => undefined as never,
      'RangeError: option "backoff" must return a number, not undefined',
    ],
  ])('is reported and replaced by the default, if it %s', async (_, backoff, text) => {
    jest.spyOn(Math, 'random').mockReturnValue(0);
    onTestFinished(() => jest.restoreAllMocks());
    const { client, next: request } = start({ backoff });
    const errors = eventsOf(client, 'error');
    (await request('GET')).fail();
    (await request('GET')).hello();
    await next(client, 'open');
    expect(errors.map(({ message }) => message)).toEqual(['TypeError: fetch failed', text]);
    client.send('a');
    (await request('POST')).fail();
    await request('POST');
    expect(errors[2]!.message).toBe(text);
  });

  it('does not end the wait for Retry-After if it returns no number', async () => {
    const { client, next: request, waiting } = start({ backoff: () => NaN });
    const failed = next(client, 'error');
    useFakeTimeouts();
    (await request('GET')).answer(503, {}, { 'Retry-After': '5' });
    await failed;
    await turn();
    jest.advanceTimersByTime(4_999);
    await turn();
    expect(waiting()).toBe(0);
    jest.advanceTimersByTime(1);
    await request('GET');
  });
});

describe('The back-off of an SseClient', () => {
  /** Loses three streams with this lifetime and these events. Returns the arguments of `backoff`. */
  async function attemptsAfterStreams(lifetime: number, events: string): Promise<number[]> {
    useFakeTimeouts('performance');
    const attempts: number[] = [];
    const backoff = (attempt: number) => {
      attempts.push(attempt);
      return 0;
    };
    const { client, stream, next: request } = await startOpen({ backoff });
    let current = stream;
    for (let i = 0; i < 3; i++) {
      current.write(`${events}:\n\n`);
      for (let j = 0; j < 5; j++) await turn();
      jest.advanceTimersByTime(lifetime);
      const lost = next(client, 'disconnect');
      current.end();
      await lost;
      await turn();
      jest.advanceTimersByTime(0);
      current = (await request('GET')).hello({ resumed: true });
      await next(client, 'reconnect');
    }
    return attempts;
  }

  it('grows while streams end right after hello', async () => {
    expect(await attemptsAfterStreams(999, '')).toEqual([0, 1, 2]);
  });

  it('grows while each session is lost right after hello', async () => {
    const attempts: number[] = [];
    const backoff = (attempt: number) => attempts.push(attempt);
    const { client, next: request } = start({ backoff });
    const unknown = { code: 'unknown-session', message: 'unknown' };
    for (let i = 0; i < 3; i++) {
      (await request('GET')).hello();
      await next(client, 'open');
      client.send('a');
      (await request('POST')).answer(404, unknown);
      await next(client, 'sessionlost');
    }
    (await request('GET')).hello().write(ping(0, 0));
    await next(client, 'open');
    await turn();
    client.send('a');
    (await request('POST')).answer(404, unknown);
    await request('GET');
    expect(attempts).toEqual([0, 1, 2, 0]);
  });

  it('restarts after a stream that was open for 1 s', async () => {
    expect(await attemptsAfterStreams(1_000, '')).toEqual([0, 0, 0]);
  });

  it('restarts after a stream that had an event after hello', async () => {
    expect(await attemptsAfterStreams(0, ping(0, 0))).toEqual([0, 0, 0]);
  });
});

describe('An SseClient on a hidden page', () => {
  const document = { baseURI: 'http://channel.example/shop/', hidden: true };
  beforeEach(() => Object.assign(globalThis, { document }));
  afterEach(() => Reflect.deleteProperty(globalThis, 'document'));

  it('reconnects without a timer, which might fire a minute later', async () => {
    useFakeTimeouts('performance');
    const { client, stream, next: request } = await startOpen({ backoff: () => 1_000_000 });
    jest.advanceTimersByTime(1_000);
    const lost = next(client, 'disconnect');
    stream.end();
    await lost;
    (await request('GET')).hello({ resumed: true });
    await next(client, 'reconnect');
  });

  it('waits for the back-off when its stream ends within 1 s', async () => {
    useFakeTimeouts('performance');
    const { client, stream, waiting } = await startOpen({ backoff: () => 1_000_000 });
    const lost = next(client, 'disconnect');
    stream.write(ping(0, 0));
    stream.end();
    await lost;
    for (let i = 0; i < 5; i++) await turn();
    expect(waiting()).toBe(0);
  });

  it('resolves a relative URL against the base of the document', () => {
    const script = scriptFetch();
    const client = openClient('sse', { fetch: script.fetch });
    expect(client.url).toBe('http://channel.example/shop/sse');
  });
});

describe('The session id of an SseClient', () => {
  it('does not depend on Math.random, which may be replaced or seeded', async () => {
    const random = jest.spyOn(Math, 'random').mockReturnValue(0.5);
    const ids = await Promise.all(
      [start(), start()].map(async ({ next: request }) =>
        (await request('GET')).url.searchParams.get('sseClientId'),
      ),
    );
    random.mockRestore();
    expect(ids[0]).toMatch(/^sse-\d+-\d+-\d+$/);
    expect(ids[0]).not.toBe(ids[1]);
  });
});

describe('The stream of an SseClient', () => {
  it('ends at once when it is first read after the close', async () => {
    const { client } = start();
    const closed = next(client, 'close');
    client.close();
    await closed;
    expect(await client.stream.getReader().read()).toEqual({ done: true, value: undefined });
  });
});

describe('The sink of an SseClient', () => {
  it('is created when it is first used, so that an environment without WritableStream works', async () => {
    const { WritableStream } = globalThis;
    Reflect.deleteProperty(globalThis, 'WritableStream');
    try {
      const { client } = await startOpen();
      expect(() => client.sink).toThrow(ReferenceError);
    } finally {
      globalThis.WritableStream = WritableStream;
    }
  });

  it('ends the wait of a writer when the session is lost', async () => {
    const { client, next: request } = await startOpen({}, { maxPayload: 100_000 });
    const writer = client.sink.getWriter();
    const written = writer.write('x'.repeat(70_000));
    (await request('POST')).answer(404, { code: 'unknown-session', message: 'unknown' });
    await written;
    expect(client.bufferedAmount).toBe(0);
  });
});

describe('The on… properties of an SseClient', () => {
  it('are null until they are set, and return the handler that was set', () => {
    const { client } = start();
    expect(client.onmessage).toBeNull();
    const handler = () => {};
    client.onmessage = handler;
    expect(client.onmessage).toBe(handler);
    client.onmessage = null;
    expect(client.onmessage).toBeNull();
  });

  it('are called with the client as this, once, also when the same function is a listener', async () => {
    const { client, next: request } = start();
    const calls: unknown[] = [];
    function handler(this: unknown) {
      calls.push(this);
    }
    client.onopen = handler;
    client.addEventListener('open', handler);
    (await request('GET')).hello();
    await next(client, 'open');
    expect(calls).toEqual([client, client]);
  });

  it('are listeners, which run in the zone in which they were set', () => {
    const { client } = start();
    const add = jest.spyOn(client, 'addEventListener');
    client.onmessage = () => {};
    expect(add).toHaveBeenCalledWith('message', expect.any(Function));
  });
});
