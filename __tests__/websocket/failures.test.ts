import type { IncomingMessage } from 'node:http';
import type * as CloseEvents from '../../lib/websocket/close-event';
import { createSseMiddleware } from '../../lib/index';
import { SseWebSocket } from '../../lib/websocket/index';
import type { SseWebSocketOptions } from '../../lib/websocket/index';
import { SseWebSocketServer } from '../../lib/ws/index';
import type { SseServerSocket } from '../../lib/ws/index';
import { listen, openChannel } from '../helpers/channel';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { onTestFinished } from '../helpers/on-test-finished';
import { openPage } from '../helpers/page';
import { scriptFetch } from '../helpers/scripted-fetch';
import { waitFor } from '../helpers/wait-for';

/** Opens a socket that retries after 5 ms, and records its events. It is closed at the end of the test. */
function openSocket(url: string, options: SseWebSocketOptions = {}) {
  const Configured = SseWebSocket.with({ backoff: () => 5, ...options });
  const socket = new Configured(url);
  const events: unknown[] = [];
  socket.onopen = () => events.push('open');
  socket.onmessage = ({ data }) => events.push(data);
  socket.onerror = (event) => events.push((event as Event & { message: string }).message);
  socket.onclose = ({ code, reason, wasClean }) => events.push([code, reason, wasClean]);
  onTestFinished(async () => {
    socket.close();
    await waitFor(() => socket.readyState === SseWebSocket.CLOSED);
  });
  return { socket, events };
}

async function openServer(options: Parameters<typeof createSseMiddleware>[1] = {}) {
  const sse = createSseMiddleware<never, never, IncomingMessage>('/sse', {
    drainTimeout: 100,
    ...options,
  });
  const sockets: SseServerSocket[] = [];
  new SseWebSocketServer(sse).on('connection', (socket) => sockets.push(socket));
  const { server, origin } = await listen((request, response) =>
    sse(request, response, () => response.end()),
  );
  onTestFinished(() => sse.close(1001));
  return { sse, server, sockets, url: `${origin.replace('http', 'ws')}/sse` };
}

describe('SseWebSocket', () => {
  it('continues when the connections are lost, without an event', async () => {
    const { server, sockets, url } = await openServer();
    const { socket, events } = openSocket(url);
    await waitFor(() => events.length === 1);
    const received: string[] = [];
    sockets[0]!.on('message', (data) => received.push((data as Buffer).toString()));
    for (let i = 0; i < 3; i++) {
      server.closeAllConnections();
      socket.send(`up ${i}`);
      sockets[0]!.send(`down ${i}`);
      await waitFor(() => received.length > i && events.length > i + 1);
    }
    expect(received).toEqual(['up 0', 'up 1', 'up 2']);
    expect(events).toEqual(['open', 'down 0', 'down 1', 'down 2']);
    expect(sockets).toHaveLength(1);
  });

  it('closes with an error when a message of the server is nested too deep for JSON.stringify', async () => {
    const { fetch, next } = scriptFetch();
    const { events } = openSocket('ws://channel.example/sse', { fetch });
    const ackAfter = { messages: 3, bytes: 1_000_000, idle: 4_000 };
    const stream = (await next('GET')).hello({ ackAfter });
    stream.write(`data: ${'['.repeat(100_000)}${']'.repeat(100_000)}\n\n`);
    const post = await next('POST');
    expect(post.body).toMatchObject({ close: { code: 1003 } });
    post.answer(200, { received: 0 });
    await waitFor(() => events.length === 3);
    expect(events).toEqual([
      'open',
      'RangeError: Maximum call stack size exceeded',
      [1003, '', true],
    ]);
  });

  it('closes with 1006 when the server has lost the session', async () => {
    const { fetch, next } = scriptFetch();
    const { events } = openSocket('ws://channel.example/sse', { fetch });
    const stream = (await next('GET')).hello();
    await waitFor(() => events.length === 1);
    stream.fail();
    (await next('GET')).answer(404, { code: 'unknown-session', message: 'the session is unknown' });
    await waitFor(() => events.length === 3);
    expect(events).toEqual(['open', 'the session is unknown', [1006, '', false]]);
  });

  it('discards what is sent after the server has closed, before the close event', async () => {
    const { fetch, next } = scriptFetch();
    const { socket, events } = openSocket('ws://channel.example/sse', { fetch });
    const stream = (await next('GET')).hello();
    await waitFor(() => events.length === 1);
    socket.onmessage = () => socket.send('late');
    stream.write('data: "last"\n\nevent: close\ndata: {"code":4000,"reason":""}\n\n');
    const post = await next('POST'); // answers the close
    await waitFor(() => socket.bufferedAmount === 4);
    post.answer(200, { received: 0 });
    await waitFor(() => events.length === 2);
    expect(events[1]).toEqual([4000, '', true]);
    expect(post.body).toMatchObject({ messages: [] });
  });

  it('dispatches one close event, with the code of the server, when it is closed just before this event', async () => {
    const { fetch, next } = scriptFetch();
    const { socket, events } = openSocket('ws://channel.example/sse', { fetch });
    const stream = (await next('GET')).hello();
    await waitFor(() => events.length === 1);
    socket.send('x');
    const post = await next('POST');
    const received: unknown[] = [];
    socket.onmessage = ({ data }) => {
      received.push(data);
      const close = { code: 4000, reason: 'closed' };
      if (data === '1') post.answer(410, { code: 'session-closed', message: 'closed', close });
      if (data === '30') socket.close(4001);
    };
    stream.write(Array.from({ length: 30 }, (_, i) => `data: "${i + 1}"\n\n`).join(''));
    await waitFor(() => events.length === 2);
    for (let i = 0; i < 5; i++) await turn();
    expect([received.length, events[1], events.length]).toEqual([30, [4000, 'closed', false], 2]);
  });

  it.each([
    ['nothing', 0],
    ['a message', 1],
  ])('fails after 10 s if the server acknowledges neither the close nor %s', async (_, count) => {
    const { fetch, next } = scriptFetch();
    const { socket, events } = openSocket('ws://channel.example/sse', { fetch });
    (await next('GET')).hello();
    await waitFor(() => events.length === 1);
    useFakeTimeouts();
    if (count > 0) socket.send('last');
    socket.close(4000, 'done');
    jest.advanceTimersByTime(10_000);
    jest.useRealTimers();
    await waitFor(() => events.length === 3);
    expect(events).toEqual([
      'open',
      'the server has not acknowledged the close',
      [1006, '', false],
    ]);
  });

  it('fails if something else answers the first request', async () => {
    const { fetch, next } = scriptFetch();
    const { events } = openSocket('ws://channel.example/sse', { fetch });
    (await next('GET')).answer(200, '<html>');
    await waitFor(() => events.length === 2);
    expect(events).toEqual([
      'HTTP 200, not from sse-duplex: check URL, login and proxy',
      [1006, '', false],
    ]);
  });

  it('closes with 1009 and an error for a message that is larger than maxPayload', async () => {
    const { sockets, url } = await openServer({ maxPayload: 100 });
    const { socket, events } = openSocket(url);
    await waitFor(() => events.length === 1);
    const closes: unknown[] = [];
    sockets[0]!.on('close', (code) => closes.push(code));
    socket.send('x'.repeat(99));
    await waitFor(() => events.length === 3);
    expect(events.slice(1)).toEqual([
      "RangeError: cannot send: 101 bytes exceed the server's maxPayload, 100",
      [1009, '', true],
    ]);
    expect(closes).toEqual([1009]);
  });

  it('receives other values than strings and bytes as JSON', async () => {
    const { url, sse } = await openChannel();
    sse.on('connection', (connection) => connection.send({ a: 1 }));
    const { events } = openSocket(url);
    await waitFor(() => events.length === 2);
    expect(events).toEqual(['open', '{"a":1}']);
  });

  it('sends the headers of its options with each request', async () => {
    const { fetch, next } = scriptFetch();
    openSocket('wss://channel.example/sse', { fetch, headers: { authorization: 'token' } });
    const get = await next('GET');
    expect([get.url.protocol, get.headers.authorization]).toEqual(['https:', 'token']);
    get.answer(403, { code: 'forbidden', message: 'no' });
  });

  it('counts messages that were not acknowledged in bufferedAmount after the close', async () => {
    const { fetch, next } = scriptFetch();
    const { socket, events } = openSocket('ws://channel.example/sse', { fetch });
    (await next('GET')).hello();
    await waitFor(() => events.length === 1);
    socket.send('12345');
    const close = { code: 4000, reason: 'closed' };
    (await next('POST')).answer(410, { code: 'session-closed', message: 'closed', close });
    await waitFor(() => events.length === 2);
    expect([events[1], socket.bufferedAmount]).toEqual([[4000, 'closed', false], 5]);
  });
});

describe('SseWebSocket on a page', () => {
  it('closes with code 1001 when the page is left', async () => {
    const page = openPage();
    onTestFinished(page.leave);
    const { sockets, url } = await openServer();
    const { events } = openSocket(url);
    await waitFor(() => events.length === 1);
    const closes: unknown[] = [];
    sockets[0]!.on('close', (code) => closes.push(code));
    page.dispatch('pagehide', { persisted: false });
    await waitFor(() => closes.length === 1 && events.length === 2);
    expect([closes, events[1]]).toEqual([[1001], [1001, 'pagehide', true]]);
  });
});

describe('The close event', () => {
  const fields = { code: 4000, reason: 'done', wasClean: true };

  /** Loads the module anew, with or without a CloseEvent of the platform. */
  function load(platform: unknown): typeof CloseEvents {
    const previous = Reflect.get(globalThis, 'CloseEvent') as unknown;
    Reflect.set(globalThis, 'CloseEvent', platform);
    onTestFinished(() => void Reflect.set(globalThis, 'CloseEvent', previous));
    let loaded!: typeof CloseEvents;
    jest.isolateModules(() => {
      loaded = jest.requireActual<typeof CloseEvents>('../../lib/websocket/close-event');
    });
    return loaded;
  }

  it('is that of the platform', () => {
    class Platform extends Event {
      readonly fields: unknown[];
      constructor(...values: [string, ...unknown[]]) {
        super(values[0]);
        this.fields = values;
      }
    }
    const event = load(Platform).createCloseEvent(fields);
    expect(event).toBeInstanceOf(Platform);
    expect(event).toHaveProperty('fields', ['close', fields]);
  });

  it('has the same fields where the platform has none', () => {
    const event = load(undefined).createCloseEvent(fields);
    expect(event).toBeInstanceOf(Event);
    expect(event).toMatchObject({ type: 'close', ...fields });
  });
});
