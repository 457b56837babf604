import type { SseClientOptions } from '../../lib/client/index';
import { eventsOf, messagesOf, next, openClient } from '../helpers/client';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { scriptFetch } from '../helpers/scripted-fetch';
import { waitFor } from '../helpers/wait-for';

const URL_ = 'http://channel.example/sse';

function start(options: SseClientOptions = {}) {
  const script = scriptFetch();
  const client = openClient(URL_, { ...options, fetch: script.fetch });
  return { ...script, client };
}

/** A client whose stream stands. */
async function startOpen(options: SseClientOptions = {}, fields: object = {}) {
  const all = start(options);
  const get = await all.next('GET');
  const stream = get.hello(fields);
  await next(all.client, 'open');
  return { ...all, get, stream };
}

const message = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;
const ping = (sent: number, received: number) =>
  `event: ping\ndata: ${JSON.stringify({ sent, received })}\n\n`;

describe('what a client asks', () => {
  it('is a stream, in the duplex dialect', async () => {
    const { next: request } = start({ credentials: 'include', headers: { 'X-App': '1' } });
    const { url, headers, init } = await request('GET');
    expect([url.origin + url.pathname, url.searchParams.get('sseProtocol')]).toEqual([URL_, '2']);
    expect(url.searchParams.get('sseClientId')).toMatch(/^.{8,64}$/);
    expect(headers).toEqual({ Accept: 'text/event-stream', 'X-App': '1' });
    expect(init.credentials).toBe('include');
  });

  it('is a POST without preflight: a body of text, no header of its own, nothing secret in the URL', async () => {
    const { client, get, next: request } = await startOpen();
    client.send({ a: 1 });
    const { url, headers, init, body } = await request('POST');
    expect(typeof init.body).toBe('string'); // sent as text/plain
    expect(headers).toEqual({});
    expect([...url.searchParams]).toEqual([
      ['sseClientId', get.url.searchParams.get('sseClientId')],
    ]);
    expect(body).toEqual({ token: 'TOKEN', id: 0, ack: 0, messages: [{ a: 1 }] });
  });

  it('has headers that are read anew for each request', async () => {
    const headers = { Authorization: 'old' };
    const { client, next: request } = await startOpen({ headers });
    headers.Authorization = 'new';
    client.send('x');
    expect((await request('POST')).headers).toEqual({ Authorization: 'new' });
  });

  it('of a lost stream is to go on, with the proof and the count of what it has', async () => {
    const { client, get, stream, next: request } = await startOpen();
    stream.write(message('a') + message('b'));
    stream.end();
    const again = await request('GET');
    expect(again.headers['Last-Event-ID']).toBe('TOKEN.2');
    expect(again.url.href).toBe(get.url.href);
    again.hello({ resumed: true, sent: 2 });
    await next(client, 'reconnect');
  });
});

describe('a stream that cannot be opened', () => {
  it('is an error, and pending for again with a growing pause', async () => {
    const attempts: number[] = [];
    const { client, next: request } = start({
      backoff: (attempt) => {
        attempts.push(attempt);
        return 1;
      },
    });
    const errors = eventsOf(client, 'error');
    (await request('GET')).fail();
    (await request('GET')).answer(502, { message: 'bad gateway' });
    (await request('GET')).answer(500);
    (await request('GET')).hello();
    await next(client, 'open');
    expect(attempts).toEqual([0, 1, 2]);
    expect(errors.map(({ message: text }) => text)).toEqual([
      'TypeError: fetch failed',
      'bad gateway',
      'HTTP 500',
    ]);
  });

  it('is pending for under another name: the first may have been taken by an answer that was lost', async () => {
    const { next: request } = start();
    const first = await request('GET');
    first.fail();
    const second = await request('GET');
    expect(second.url.searchParams.get('sseClientId')).not.toBe(
      first.url.searchParams.get('sseClientId'),
    );
  });

  it('is pending for under another name where the name is taken', async () => {
    const { client, next: request } = start();
    (await request('GET')).answer(409, { code: 'session-conflict', message: 'taken' });
    (await request('GET')).hello();
    await next(client, 'open');
  });

  it('is pending for when the server says, not before', async () => {
    const { client, next: request, waiting } = start({ backoff: () => 0 });
    useFakeTimeouts();
    const failed = next(client, 'error');
    (await request('GET')).answer(503, { message: 'busy' }, { 'Retry-After': '5' });
    expect((await failed).message).toBe('busy');
    await turn();
    jest.advanceTimersByTime(4_999);
    await turn();
    expect(waiting()).toBe(0);
    jest.advanceTimersByTime(1);
    await request('GET');
  });

  it.each(['soon', 'Wed, 21 Oct 2015 07:28:00 GMT', '-5'])(
    'is pending for after the usual pause with Retry-After: %s',
    async (value) => {
      const { client, next: request } = start();
      (await request('GET')).answer(503, {}, { 'Retry-After': value });
      (await request('GET')).hello();
      await next(client, 'open');
    },
  );

  it.each([400, 401, 403, 404, 405, 415])('ends the client with status %i', async (status) => {
    const { client, next: request } = start();
    const errors = eventsOf(client, 'error');
    const closed = next(client, 'close');
    (await request('GET')).answer(status, { message: 'no' });
    expect(await closed).toMatchObject({ code: 1006, reason: 'no', wasClean: false });
    expect(errors).toHaveLength(1);
  });

  it('is given up after 10 s without an answer', async () => {
    useFakeTimeouts();
    const { client, next: request } = start();
    const get = await request('GET');
    const failed = next(client, 'error');
    jest.advanceTimersByTime(9_999);
    expect(get.isAborted()).toBe(false);
    jest.advanceTimersByTime(1);
    expect(get.isAborted()).toBe(true);
    expect((await failed).message).toContain('10000 ms');
  });

  it('is given up after 10 s without hello: a proxy may hold it back', async () => {
    useFakeTimeouts();
    const { client, next: request } = start();
    const get = await request('GET');
    const failed = next(client, 'error');
    jest.advanceTimersByTime(9_000);
    get.stream();
    for (let i = 0; i < 10; i++) await turn();
    jest.advanceTimersByTime(1_000);
    expect((await failed).message).toBe('no event (buffered? 6 streams open?) in 10000 ms');
    expect(get.isAborted()).toBe(true);
  });
});

describe('a stream that is dead', () => {
  it('is replaced after 2.5 heartbeats without a byte', async () => {
    useFakeTimeouts();
    const { client, get, stream, next: request } = await startOpen({ backoff: () => 0 });
    const received = messagesOf(client);
    jest.advanceTimersByTime(2_000);
    stream.write(':\n\n'); // any byte is a sign of life
    stream.write(message('x'));
    await waitFor(() => received.length > 0);
    jest.advanceTimersByTime(2_499);
    expect(get.isAborted()).toBe(false);
    const lost = next(client, 'disconnect');
    jest.advanceTimersByTime(1);
    expect(get.isAborted()).toBe(true);
    expect((await lost).reason).toContain('2500 ms');
    await turn();
    jest.advanceTimersByTime(0);
    (await request('GET')).hello({ resumed: true, sent: 1 });
    await next(client, 'reconnect');
    expect(client.readyState).toBe(1);
  });

  it('is replaced when the counts differ, from the own count', async () => {
    const { client, stream, next: request } = await startOpen();
    const received = messagesOf(client);
    stream.write(message('a') + ping(1, 0));
    await waitFor(() => received.length > 0);
    stream.write(message('b') + ping(3, 0) + message('of a stream that was given up'));
    await next(client, 'disconnect');
    const again = await request('GET');
    expect(again.headers['Last-Event-ID']).toBe('TOKEN.2');
    expect(received).toEqual(['a', 'b']);
  });

  it('is replaced when it holds what is not the protocol', async () => {
    const { client, stream, next: request } = await startOpen();
    const lost = next(client, 'disconnect');
    stream.write('data: {\n\n');
    expect((await lost).reason).toContain('SyntaxError');
    await request('GET');
  });

  it('may be cut within a character', async () => {
    const { client, stream } = await startOpen();
    const received = messagesOf(client);
    stream.write(':\n\ndata: "');
    stream.write('ü"\n');
    stream.write('\n');
    await waitFor(() => received.length > 0);
    expect(received).toEqual(['ü']);
  });

  it('ignores events that it does not know', async () => {
    const { client, stream } = await startOpen();
    const received = messagesOf(client);
    stream.write(`event: later\ndata: x\n\nevent: control\ndata: other\n\n${message(1)}`);
    await waitFor(() => received.length > 0);
    expect(client.readyState).toBe(1);
  });

  it('closes the client by control: close', async () => {
    const { client, stream } = await startOpen();
    const closed = next(client, 'close');
    stream.write('event: control\ndata: close\n\n');
    expect(await closed).toMatchObject({ code: 1000, wasClean: true });
  });
});

describe('a POST', () => {
  it('that fails is repeated with the same number, and what came meanwhile', async () => {
    const { client, next: request } = await startOpen();
    client.send('a');
    const first = await request('POST');
    client.send('b');
    first.fail();
    const second = await request('POST');
    expect(second.body).toMatchObject({ id: 0, messages: ['a', 'b'] });
    second.answer(200, { received: 2 });
    await waitFor(() => client.bufferedAmount === 0);
  });

  it.each([500, 502, 503, 408, 409, 429])('that is answered %i is repeated', async (status) => {
    const { client, next: request } = await startOpen();
    client.send('a');
    (await request('POST')).answer(status, { message: 'later' });
    const second = await request('POST');
    expect(second.body).toMatchObject({ id: 0, messages: ['a'] });
    expect(client.readyState).toBe(1);
  });

  it('that is answered by something else than the server is repeated', async () => {
    const { client, next: request } = await startOpen();
    client.send('a');
    const stream = (await request('POST')).stream(); // a portal's page, say
    stream.write('<!doctype html>');
    stream.end();
    expect((await request('POST')).body).toMatchObject({ id: 0, messages: ['a'] });
  });

  it.each([403, 404, 413])(
    'that something else than the server answers %i is repeated',
    async (status) => {
      const { client, next: request } = await startOpen();
      client.send('a');
      (await request('POST')).answer(status, {}); // a proxy's page, say
      expect((await request('POST')).body).toMatchObject({ id: 0, messages: ['a'] });
    },
  );

  it('is repeated with a growing pause, which begins anew after a success', async () => {
    const attempts: number[] = [];
    const { client, next: request } = await startOpen({
      backoff: (attempt) => {
        attempts.push(attempt);
        return 1;
      },
    });
    client.send('a');
    for (let i = 0; i < 3; i++) (await request('POST')).fail();
    (await request('POST')).answer(200, { received: 1 });
    await waitFor(() => client.bufferedAmount === 0);
    client.send('b');
    (await request('POST')).fail();
    await request('POST');
    expect(attempts).toEqual([0, 1, 2, 3, 0, 1]);
  });

  it('is repeated when the server says, not before', async () => {
    useFakeTimeouts();
    const {
      client,
      next: request,
      waiting,
    } = await startOpen({ backoff: () => 0 }, { heartbeat: 60_000 });
    client.send('a');
    (await request('POST')).answer(503, {}, { 'Retry-After': '2' });
    for (let i = 0; i < 10; i++) await turn();
    jest.advanceTimersByTime(1_999);
    await turn();
    expect(waiting()).toBe(0);
    jest.advanceTimersByTime(1);
    await request('POST');
  });

  it('is one at a time: what is sent meanwhile is the next', async () => {
    const { client, next: request, waiting } = await startOpen();
    client.send(0);
    const first = await request('POST');
    for (let i = 1; i <= 5; i++) client.send(i);
    for (let i = 0; i < 5; i++) await turn();
    expect(waiting()).toBe(0);
    first.answer(200, { received: 1 });
    expect((await request('POST')).body).toMatchObject({ id: 1, messages: [1, 2, 3, 4, 5] });
  });

  it('takes what the server says of a part', async () => {
    const { client, next: request } = await startOpen();
    ['a', 'b', 'c'].forEach((text) => client.send(text));
    (await request('POST')).answer(200, { received: 2 });
    expect((await request('POST')).body).toMatchObject({ id: 2, messages: ['c'] });
  });

  it('is not needed for what a ping has confirmed', async () => {
    const { client, stream, next: request, waiting } = await startOpen();
    client.send('a');
    const lost = await request('POST');
    stream.write(ping(0, 1));
    await waitFor(() => client.bufferedAmount === 0);
    lost.fail();
    for (let i = 0; i < 5; i++) await turn();
    expect(waiting()).toBe(0);
  });

  it('is not needed for what hello has confirmed', async () => {
    const { client, stream, next: request } = await startOpen();
    client.send('a');
    client.send('b');
    const lost = await request('POST');
    stream.end();
    (await request('GET')).hello({ resumed: true, received: 1 });
    await waitFor(() => client.bufferedAmount === 3);
    lost.fail();
    expect((await request('POST')).body).toMatchObject({ id: 1, messages: ['b'] });
  });

  it('acknowledges what was received, once it is enough', async () => {
    const { stream, next: request } = await startOpen(); // 3 messages or 1,000 bytes
    stream.write(message(1) + message(2) + message(3));
    expect((await request('POST')).body).toMatchObject({ id: 0, ack: 3, messages: [] });
  });

  it('is a sign of life when there was none for long', async () => {
    useFakeTimeouts();
    const { client, stream, next: request } = await startOpen();
    const received = messagesOf(client);
    for (let i = 1; i <= 4; i++) {
      jest.advanceTimersByTime(999);
      stream.write(message(i));
      await waitFor(() => received.length === i);
      if (i === 3) (await request('POST')).answer(200, { received: 0 }); // an acknowledgement
    }
    for (let i = 0; i < 5; i++) await turn();
    for (let i = 0; i < 4; i++) {
      jest.advanceTimersByTime(1_000);
      stream.write(':\n\n');
      for (let j = 0; j < 5; j++) await turn();
    }
    expect((await request('POST')).body).toMatchObject({ ack: 4, messages: [] });
  });

  it.each([400, 401, 403, 413, 415])(
    'that is answered %i ends the client, and names what was not taken',
    async (status) => {
      const { client, next: request } = await startOpen();
      client.send('a');
      client.send({ b: 1 });
      const closed = next(client, 'close');
      (await request('POST')).answer(status, { message: 'no' });
      expect(await closed).toMatchObject({
        reason: 'no',
        wasClean: false,
        unacknowledged: ['a', { b: 1 }],
      });
    },
  );

  it('that is answered 410 ends the client as the server did', async () => {
    const { client, next: request } = await startOpen();
    client.send('a');
    const closed = next(client, 'close');
    const end = { close: { code: 4000, reason: 'bye' } };
    (await request('POST')).answer(410, { code: 'session-closed', message: 'closed', ...end });
    expect(await closed).toMatchObject({
      code: 4000,
      reason: 'bye',
      wasClean: false,
      unacknowledged: ['a'],
    });
  });

  it('that is answered 404 is the loss of the session: nothing is sent again by itself', async () => {
    const { client, get, next: request } = await startOpen();
    const resets = eventsOf(client, 'sessionlost');
    client.send('a');
    (await request('POST')).answer(404, { message: 'unknown' });
    const again = await request('GET');
    expect(resets).toMatchObject([{ unacknowledged: ['a'], reason: 'unknown' }]);
    expect(get.isAborted()).toBe(true);
    expect(again.headers).not.toHaveProperty('Last-Event-ID');
    expect(again.url.searchParams.get('sseClientId')).not.toBe(
      get.url.searchParams.get('sseClientId'),
    );
    expect([client.readyState, client.bufferedAmount]).toEqual([0, 0]);
    again.hello({ token: 'SECOND' });
    await next(client, 'open');
    client.send('b');
    expect((await request('POST')).body).toMatchObject({ token: 'SECOND', id: 0, messages: ['b'] });
  });

  it('of a session that is over is not heard of any more', async () => {
    const { client, stream, next: request } = await startOpen();
    client.send('a');
    const late = await request('POST');
    stream.end();
    const lost = next(client, 'sessionlost');
    (await request('GET')).answer(404, { message: 'unknown' });
    expect((await lost).unacknowledged).toEqual(['a']);
    (await request('GET')).hello({ token: 'SECOND' });
    await next(client, 'open');
    const resets = eventsOf(client, 'sessionlost');
    late.answer(404, { message: 'unknown' });
    for (let i = 0; i < 5; i++) await turn();
    client.send('b');
    const { body } = await request('POST');
    expect(body).toMatchObject({ token: 'SECOND', id: 0, messages: ['b'] });
    expect([client.readyState, client.bufferedAmount, resets]).toEqual([1, 3, []]);
  });
});

describe('the goodbye of a client', () => {
  it('is repeated until the server has it', async () => {
    const { client, next: request } = await startOpen();
    const closed = next(client, 'close');
    client.send('last');
    client.close(4001, 'done');
    (await request('POST')).fail();
    const second = await request('POST');
    expect(second.body).toEqual({
      token: 'TOKEN',
      id: 0,
      ack: 0,
      messages: ['last'],
      close: { code: 4001, reason: 'done' },
    });
    second.answer(200, { received: 1 });
    expect(await closed).toMatchObject({ code: 4001, wasClean: true, unacknowledged: [] });
  });

  it('goes with the last batch, not before', async () => {
    const { client, next: request } = await startOpen(); // maxPayload 100
    for (let i = 0; i < 4; i++) client.send('x'.repeat(40));
    client.close();
    const first = await request('POST');
    expect(first.body).toMatchObject({ messages: { length: 2 } });
    expect(first.body).not.toHaveProperty('close');
    first.answer(200, { received: 2 });
    expect((await request('POST')).body).toMatchObject({
      id: 2,
      close: { code: 1000, reason: '' },
    });
  });

  it('is given up after 10 s, and what is not confirmed is named', async () => {
    useFakeTimeouts();
    const { client, next: request } = await startOpen({}, { heartbeat: 100_000 });
    const closes = eventsOf(client, 'close');
    client.send('a');
    client.close();
    await request('POST');
    jest.advanceTimersByTime(9_999);
    await turn();
    expect(closes).toEqual([]);
    jest.advanceTimersByTime(1);
    await waitFor(() => closes.length > 0);
    expect(closes[0]).toMatchObject({ code: 1000, wasClean: false, unacknowledged: ['a'] });
  });

  it('is not clean when the server never answers, though nothing is lost', async () => {
    useFakeTimeouts();
    const { client } = await startOpen({}, { heartbeat: 100_000 });
    const closes = eventsOf(client, 'close');
    client.close();
    jest.advanceTimersByTime(10_000);
    await waitFor(() => closes.length > 0);
    expect(closes[0]).toMatchObject({ code: 1000, wasClean: false, unacknowledged: [] });
  });

  it('is over at once, and waits for nothing, when a POST is refused for good', async () => {
    const { client, next: request } = await startOpen();
    useFakeTimeouts();
    client.send('a');
    client.close(4001, 'done');
    const closed = next(client, 'close');
    (await request('POST')).answer(413, { message: 'too large' });
    expect(await closed).toMatchObject({ code: 4001, wasClean: false, unacknowledged: ['a'] });
    await turn();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('leaves no stream to be opened, where it comes while the client waits to open one', async () => {
    const { client, stream, next: request, waiting } = await startOpen({ backoff: () => 1_000 });
    client.send('a');
    const post = await request('POST');
    useFakeTimeouts();
    stream.end();
    await next(client, 'disconnect');
    const closed = next(client, 'close');
    post.answer(410, { message: 'closed', close: { code: 4000, reason: 'bye' } });
    await closed;
    await turn();
    expect([waiting(), jest.getTimerCount()]).toEqual([0, 0]);
  });
});

describe('the goodbye of a server', () => {
  const restart = 'event: close\ndata: {"code":1012,"reason":"","retry":50}\n\n';

  it('is a reset at once, and one only, where another server knows nothing of the session', async () => {
    const { client, stream, next: request } = await startOpen();
    const resets = eventsOf(client, 'sessionlost');
    const errors = eventsOf(client, 'error');
    client.send('a');
    const post = await request('POST');
    stream.write(restart);
    stream.end();
    await turn();
    post.answer(404, { message: 'unknown' });
    const again = await request('GET');
    expect(resets).toMatchObject([
      { code: 1012, reason: '', wasClean: false, unacknowledged: ['a'] },
    ]);
    expect(errors).toEqual([]);
    again.hello({ token: 'SECOND' });
    await next(client, 'open');
    client.send('b');
    (await request('POST')).answer(200, { received: 1 });
    await waitFor(() => client.bufferedAmount === 0);
    expect(resets).toHaveLength(1);
  });

  it('is not clean where a message came too late for it', async () => {
    const { client, stream, next: request } = await startOpen();
    client.send('a');
    stream.write('event: close\ndata: {"code":1008,"reason":"slow"}\n\n');
    const closed = next(client, 'close');
    (await request('POST')).answer(200, { received: 0 });
    (await request('POST')).answer(200, { received: 0 });
    expect(await closed).toMatchObject({
      code: 1008,
      reason: 'slow',
      wasClean: false,
      unacknowledged: ['a'],
    });
  });
});

describe('a client in a page', () => {
  /** What browsers have, and Node has not. */
  function openPage() {
    const page = new EventTarget();
    const names = ['addEventListener', 'removeEventListener'] as const;
    for (const name of names) {
      Object.defineProperty(globalThis, name, { value: page[name].bind(page), configurable: true });
    }
    return {
      dispatch: (type: string, fields = {}) =>
        page.dispatchEvent(Object.assign(new Event(type), fields)),
      leave: () => {
        for (const name of names) Reflect.deleteProperty(globalThis, name);
      },
    };
  }
  let page: ReturnType<typeof openPage>;
  beforeEach(() => (page = openPage()));
  afterEach(() => page.leave());

  it('says goodbye as the page goes, with what is left, in a request that outlives the page', async () => {
    const { client, next: request } = await startOpen();
    client.send('a');
    await request('POST'); // under way
    client.send('b');
    page.dispatch('pagehide', { persisted: false });
    const { init, body } = await request('POST');
    expect(init.keepalive).toBe(true);
    expect(body).toMatchObject({ id: 0, messages: ['a', 'b'], close: { code: 1001 } });
  });

  it('lets go of its stream for the back/forward cache, and comes back with the page', async () => {
    const { client, get, next: request, waiting } = await startOpen();
    const closes = eventsOf(client, 'close');
    const lost = next(client, 'disconnect');
    page.dispatch('pagehide', { persisted: true });
    expect((await lost).reason).toContain('pagehide');
    expect(get.isAborted()).toBe(true);
    for (let i = 0; i < 5; i++) await turn();
    expect(waiting()).toBe(0);
    page.dispatch('pageshow', { persisted: true });
    const again = await request('GET');
    expect(again.headers['Last-Event-ID']).toBe('TOKEN.0');
    again.hello({ resumed: true });
    await next(client, 'reconnect');
    expect(closes).toEqual([]);
  });

  it('tries at once when the network is back', async () => {
    const { client, stream, next: request } = await startOpen({ backoff: () => 1_000_000 });
    client.send('a');
    (await request('POST')).fail();
    const lost = next(client, 'disconnect');
    stream.fail();
    await lost;
    for (let i = 0; i < 5; i++) await turn();
    page.dispatch('online');
    (await request('GET')).hello({ resumed: true });
    expect((await request('POST')).body).toMatchObject({ id: 0, messages: ['a'] });
  });

  it('does not hear of the page after its end', async () => {
    const { client, next: request, waiting } = await startOpen();
    const closed = next(client, 'close');
    client.close();
    (await request('POST')).answer(200, { received: 0 });
    await closed;
    page.dispatch('pagehide', { persisted: false });
    page.dispatch('online');
    for (let i = 0; i < 5; i++) await turn();
    expect(waiting()).toBe(0);
  });
});
