import { DartSseClient } from '../../lib/dart/index';
import { openChannel, record } from '../helpers/channel';
import { eventsOf, messagesOf, next, openDartClient } from '../helpers/client';
import { openDartServer } from '../helpers/dart-server';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { onTestFinished } from '../helpers/on-test-finished';
import { openPage } from '../helpers/page';
import { scriptFetch } from '../helpers/scripted-fetch';
import { waitFor } from '../helpers/wait-for';

const URL_ = 'http://dart.example/sse';

async function openOnDart() {
  const dart = await openDartServer();
  const client = openDartClient(dart.url);
  await next(client, 'open');
  return { dart, client };
}

async function startOpen(options: ConstructorParameters<typeof DartSseClient>[1] = {}) {
  const script = scriptFetch();
  const client = openDartClient(URL_, { ...options, fetch: script.fetch });
  const get = await script.next('GET');
  const stream = get.stream();
  await next(client, 'open');
  return { ...script, client, get, stream };
}

describe("DartSseClient on Dart's server", () => {
  it('receives messages in order', async () => {
    const { dart, client } = await openOnDart();
    const messages = messagesOf(client);
    dart.send('a');
    dart.send('ü\n');
    await waitFor(() => messages.length === 2);
    expect(messages).toEqual(['a', 'ü\n']);
  });

  it('sends one message per POST, numbered from 0', async () => {
    const { dart, client } = await openOnDart();
    const texts = Array.from({ length: 20 }, (_, i) => `text ${i}`);
    texts.forEach((text) => client.send(text));
    await waitFor(() => dart.received.length === 20);
    expect(dart.received).toEqual(texts);
    expect(dart.numbers).toEqual(texts.map((_, i) => i));
    await waitFor(() => client.bufferedAmount === 0);
  });

  it('keeps messages that are sent before the stream is open', async () => {
    const dart = await openDartServer();
    const client = openDartClient(dart.url);
    client.send('early');
    expect(client.bufferedAmount).toBe('"early"'.length);
    await waitFor(() => dart.received.length === 1);
    expect(dart.numbers).toEqual([0]);
  });

  it('continues its numbers and its session id when it reconnects', async () => {
    const { dart, client } = await openOnDart();
    client.send('a');
    await waitFor(() => dart.received.length === 1);
    const lost = eventsOf(client, 'disconnect');
    const back = next(client, 'reconnect');
    dart.cut();
    await back;
    expect([lost.length, dart.streams()]).toEqual([1, 2]);
    client.send('b');
    await waitFor(() => dart.received.length === 2);
    expect(dart.numbers).toEqual([0, 1]);
    const messages = messagesOf(client);
    dart.send('still here');
    await waitFor(() => messages.length === 1);
  });

  it('closes when the server sends control: close', async () => {
    const { dart, client } = await openOnDart();
    const closed = next(client, 'close');
    dart.close();
    expect(await closed).toMatchObject({ code: 1000, wasClean: true });
    expect(client.readyState).toBe(DartSseClient.CLOSED);
  });

  it('closes when a POST fails, and sends nothing twice', async () => {
    const { dart, client } = await openOnDart();
    dart.rejectPosts();
    const errors = eventsOf(client, 'error');
    const closed = next(client, 'close');
    client.send('a');
    client.send('b');
    expect(await closed).toMatchObject({
      code: 1006,
      reason: 'HTTP 500 for message 0',
      wasClean: false,
      unacknowledged: ['a', 'b'],
    });
    expect(errors).toHaveLength(1);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(dart.numbers).toEqual([0]);
  });

  it('sends all messages before it closes', async () => {
    const { dart, client } = await openOnDart();
    const closed = next(client, 'close');
    client.send('a');
    client.send('b');
    client.close();
    expect(client.readyState).toBe(DartSseClient.CLOSING);
    expect(() => client.send('c')).toThrow('cannot send');
    expect(await closed).toMatchObject({ code: 1000, wasClean: true, unacknowledged: [] });
    expect(dart.received).toEqual(['a', 'b']);
  });

  it('closes at once when there is nothing to send', async () => {
    const { client } = await openOnDart();
    const closed = next(client, 'close');
    client.close(4000, 'bye');
    expect(await closed).toMatchObject({ code: 4000, reason: 'bye', unacknowledged: [] });
  });

  it('throws a TypeError for bytes, which Dart servers do not accept, and stays open', async () => {
    const { dart, client } = await openOnDart();
    expect(() => client.send(new Uint8Array(1))).toThrow(
      new TypeError('cannot send: Dart servers accept only JSON'),
    );
    client.send('text');
    await waitFor(() => dart.received.length === 1);
  });

  it('throws a RangeError for an invalid close code', async () => {
    const { client } = await openOnDart();
    expect(() => client.close(1006)).toThrow(RangeError);
    expect(client.readyState).toBe(DartSseClient.OPEN);
  });

  it('has a stream and a sink', async () => {
    const { dart, client } = await openOnDart();
    const reader = client.readable.getReader();
    dart.send('down');
    expect((await reader.read()).value).toBe('down');
    await client.writable.getWriter().write('up');
    await waitFor(() => dart.received.length > 0);
    expect(dart.received).toEqual(['up']);
  });
});

describe('The requests of a DartSseClient', () => {
  it('do not ask for the duplex dialect', async () => {
    const { client, get, next: request } = await startOpen({ debugKey: 'key' });
    expect([...get.url.searchParams.keys()]).toEqual(['sseClientId']);
    expect(get.url.searchParams.get('sseClientId')).toMatch(/^key-/);
    expect(get.headers).toEqual({ accept: 'text/event-stream' });
    client.send({ any: 'json' });
    const { url, body } = await request('POST');
    expect(url.searchParams.get('messageId')).toBe('0');
    expect(url.searchParams.get('sseClientId')).toBe(get.url.searchParams.get('sseClientId'));
    expect(body).toEqual({ any: 'json' });
  });

  it('are sent one POST at a time', async () => {
    const { client, next: request, waiting } = await startOpen();
    client.send('a');
    client.send('b');
    const first = await request('POST');
    for (let i = 0; i < 5; i++) await turn();
    expect(waiting()).toBe(0);
    first.answer(200);
    expect((await request('POST')).body).toBe('b');
  });

  it('have the same session id in each attempt to open the stream', async () => {
    const script = scriptFetch();
    const client = openDartClient(URL_, { fetch: script.fetch });
    const first = await script.next('GET');
    first.fail();
    const second = await script.next('GET');
    expect(second.url.href).toBe(first.url.href);
    second.stream();
    await next(client, 'open');
  });
});

describe('The stream of a DartSseClient', () => {
  it.each([200, 408, 429, 500])(
    'is requested again after a page with status %i',
    async (status) => {
      const script = scriptFetch();
      const client = openDartClient(URL_, { fetch: script.fetch });
      const [opens, errors] = [eventsOf(client, 'open'), eventsOf(client, 'error')];
      (await script.next('GET')).answer(status, '<html>', { 'Content-Type': 'text/html' });
      (await script.next('GET')).stream();
      await next(client, 'open');
      expect([opens.length, errors.length]).toEqual([1, 1]);
    },
  );

  it.each([400, 401, 403, 404, 499])('closes the client with status %i', async (status) => {
    const script = scriptFetch();
    const client = openDartClient(URL_, { fetch: script.fetch });
    const closed = next(client, 'close');
    client.send('a');
    (await script.next('GET')).answer(status, '');
    expect(await closed).toMatchObject({ code: 1006, unacknowledged: ['a'] });
    for (let i = 0; i < 5; i++) await turn();
    expect(script.waiting()).toBe(0);
  });

  it('may be silent for any time', async () => {
    useFakeTimeouts();
    const { client, get } = await startOpen();
    jest.advanceTimersByTime(3_600_000);
    expect([get.isAborted(), client.readyState]).toEqual([false, 1]);
  });

  it('is replaced when a message is not JSON', async () => {
    const { client, stream, next: request } = await startOpen();
    const lost = next(client, 'disconnect');
    stream.write('data: {\n\n');
    expect((await lost).reason).toMatch(/^invalid message: /);
    (await request('GET')).stream();
    await next(client, 'reconnect');
  });

  it('ignores other events than messages and control: close', async () => {
    const { client, stream } = await startOpen();
    const messages = messagesOf(client);
    stream.write('event: control\ndata: other\n\nevent: ping\ndata: {}\n\ndata: "x"\n\n');
    await waitFor(() => messages.length > 0);
    expect([messages, client.readyState]).toEqual([['x'], 1]);
  });
});

describe('A DartSseClient on a page', () => {
  it('reconnects when the page is back before its reader has read what arrived before', async () => {
    const page = openPage();
    onTestFinished(page.leave);
    const { client, stream, next: request } = await startOpen();
    const reader = client.stream.getReader();
    stream.write('data: "a"\n\n');
    await next(client, 'message');
    await turn();
    page.dispatch('pagehide', { persisted: true });
    page.dispatch('pageshow', { persisted: true });
    expect(await reader.read()).toMatchObject({ value: 'a' });
    void reader.read();
    (await request('GET')).stream();
    await next(client, 'reconnect');
  });
});

describe('The close of a DartSseClient', () => {
  it('ends after 10 s without a response, with the unacknowledged messages', async () => {
    useFakeTimeouts();
    const { client } = await startOpen();
    const closes = eventsOf(client, 'close');
    client.send('a');
    client.close();
    jest.advanceTimersByTime(9_999);
    expect(closes).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(closes).toMatchObject([{ code: 1000, wasClean: false, unacknowledged: ['a'] }]);
    expect(client.bufferedAmount).toBe(0);
  });

  it('is not followed by open when a fetch that ignores its signal responds after it', async () => {
    let respond!: (response: Response) => void;
    const fetch = () => new Promise<Response>((resolve) => (respond = resolve));
    const client = openDartClient(URL_, { fetch });
    const opens = eventsOf(client, 'open');
    const closed = next(client, 'close');
    await turn();
    client.close();
    await closed;
    respond(new Response('', { headers: { 'Content-Type': 'text/event-stream' } }));
    for (let i = 0; i < 5; i++) await turn();
    expect(opens).toHaveLength(0);
  });

  it('is not followed by drain when the response to a POST arrives after it', async () => {
    const { client, stream, next: request } = await startOpen();
    const drains = eventsOf(client, 'drain');
    const closed = next(client, 'close');
    client.send('a');
    const post = await request('POST');
    stream.write('event: control\ndata: close\n\n');
    expect((await closed).unacknowledged).toEqual(['a']);
    post.answer(200);
    for (let i = 0; i < 5; i++) await turn();
    expect(drains).toHaveLength(0);
  });

  it('leaves no timer behind', async () => {
    const { client } = await startOpen({ backoff: () => 1_000 });
    useFakeTimeouts();
    const closed = next(client, 'close');
    client.close();
    jest.advanceTimersByTime(0);
    await closed;
    for (let i = 0; i < 5; i++) await turn();
    expect(jest.getTimerCount()).toBe(0);
  });
});

describe("DartSseClient on this package's server", () => {
  it('exchanges messages with a session of the Dart dialect', async () => {
    const { url, connections } = await openChannel();
    const client = openDartClient(url);
    await next(client, 'open');
    await waitFor(() => connections.length > 0);
    const [up, down] = [record(connections[0]!, 'message'), messagesOf(client)];
    client.send('a');
    client.send('b');
    connections[0]!.send('c');
    await waitFor(() => up.length === 2 && down.length === 1);
    expect([up.flat(), down]).toEqual([['a', 'b'], ['c']]);
    const closed = next(client, 'close');
    connections[0]!.close();
    expect((await closed).code).toBe(1000);
  });
});

describe('A failed request of a DartSseClient', () => {
  it.each([
    [404, true],
    [429, false],
    [503, false],
  ])('closes the client after a GET with status %i: %s', async (status, isFinal) => {
    const fetch = () => Promise.resolve(new Response('no', { status }));
    const client = new DartSseClient(URL_, { fetch, backoff: () => 5 });
    const closes = eventsOf(client, 'close');
    await next(client, 'error');
    await turn();
    expect(closes.map(({ code }) => code)).toEqual(isFinal ? [1006] : []);
    client.close();
    await waitFor(() => client.readyState === DartSseClient.CLOSED);
  });

  it('closes the client with the error of a POST that does not reach the server', async () => {
    const { client, next: nextRequest } = await startOpen();
    const closed = next(client, 'close');
    client.send('x');
    const post = await nextRequest('POST');
    post.fail();
    const { code, reason, unacknowledged } = await closed;
    expect([code, unacknowledged]).toEqual([1006, ['x']]);
    expect(reason).toBe('TypeError: fetch failed');
  });
});

describe('A DartSseClient', () => {
  it('uses the global fetch without the option', async () => {
    const fetch = jest.spyOn(globalThis, 'fetch');
    fetch.mockResolvedValue(new Response('no', { status: 404 }));
    try {
      const client = new DartSseClient(URL_);
      const { reason } = await next(client, 'close');
      expect([fetch.mock.calls.length, reason]).toEqual([1, expect.stringContaining('404')]);
    } finally {
      fetch.mockRestore();
    }
  });

  it('ignores a handler that is not a function, as other event targets do', async () => {
    const { client, stream } = await startOpen();
    client.onmessage = 'text' as never;
    expect(client.onmessage).toBeNull();
    const messages = messagesOf(client);
    stream.write('data: "x"\n\n');
    await waitFor(() => messages.length === 1);
  });
});
