import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildSync } from 'esbuild';
import express from 'express';
import supertest from 'supertest';
import { SseConnection, SseRequestError } from '../../lib/index';
import type { SseOptions } from '../../lib/index';
import { addressOf, createSse, listen, openChannel, openDuplex, record } from '../helpers/channel';
import { onTestFinished } from '../helpers/on-test-finished';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { sendRequest, openStream, post } from '../helpers/http';
import { waitFor } from '../helpers/wait-for';

/** Without a server of its own: for requests that are answered and done. */
function application(options: SseOptions<express.Request> = {}) {
  const sse = createSse(options);
  return { sse, app: express().use(sse) };
}

describe('a GET', () => {
  it('in the base dialect opens a stream that proves its session before the first message', async () => {
    const { url } = await openChannel();
    const stream = await openStream(addressOf(url, 'a'));
    await stream.take();
    expect(stream.status).toBe(200);
    expect(stream.text()).toMatch(/^retry: 1000\nid: [\w-]{21}\.0\n\n$/);
    expect(stream.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
    });
    expect(stream.headers).not.toHaveProperty('sse-protocol');
  });

  it('in the duplex dialect opens a stream that begins with hello', async () => {
    const { url } = await openChannel({ heartbeatInterval: 5000, maxPayload: 1000 });
    const { stream, token } = await openDuplex(url);
    expect(stream.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-store, no-transform',
      'sse-protocol': '2',
    });
    expect(token).toMatch(/^[\w-]{21}$/);
    const ackAfter = '{"messages":2048,"bytes":262144,"idle":20000}';
    expect(stream.text()).toBe(
      `retry: 1000\nevent: hello\ndata: {"token":"${token}","resumed":false,"sent":0,"received":0,` +
        `"heartbeat":5000,"ackAfter":${ackAfter},"maxPayload":1000}\n\n`,
    );
  });

  it('tells the application, with the connection and the request', async () => {
    const { sse, url } = await openChannel();
    const calls = record(sse, 'connection');
    await openDuplex(url, 'the id');
    expect(calls).toHaveLength(1);
    const [connection, request] = calls[0] as [SseConnection, express.Request];
    expect(connection).toBeInstanceOf(SseConnection);
    expect(connection).toMatchObject({ id: 'the id', request, connected: true, readyState: 1 });
    expect(request.url).toBe('/sse?sseClientId=the%20id&sseProtocol=2');
  });

  it.each([
    'a+b',
    'a b',
    'a/b',
    'a%b',
    '&=?#',
    'ü😀',
    `debug-${'x'.repeat(250)}`,
    '__proto__',
    '.',
  ])('takes %j for a name, and a POST the same one', async (id) => {
    const { sse, url, connections } = await openChannel();
    await openStream(addressOf(url, id));
    expect(sse.connections.get(id)).toBe(connections[0]);
    expect((await post(addressOf(url, id, 0), '1')).status).toBe(200);
  });

  it("takes Dart's own spelling of a name: `+` and `/` as they are, GET and POST alike [dart]", async () => {
    const { url, connections } = await openChannel();
    await openStream(`${url}?sseClientId=a+/b`);
    expect(connections[0]!.id).toBe('a /b');
    const messages = record(connections[0]!, 'message');
    await post(`${url}?sseClientId=a+/b&messageId=0`, '"x"');
    expect(messages).toEqual([['x']]);
  });
});

describe('a refusal', () => {
  const refusal = (code: string, message: string) => ({
    code,
    message: expect.stringContaining(message) as string,
  });

  it.each<[string, 'get' | 'post', string, number, string, string]>([
    ['no name', 'get', '', 400, 'bad-request', '"sseClientId" must be the session id'],
    ['an empty name', 'get', '?sseClientId=', 400, 'bad-request', '1 to 256 printable'],
    ['a long name', 'get', `?sseClientId=${'x'.repeat(257)}`, 400, 'bad-request', '1 to 256'],
    ['an unprintable name', 'get', '?sseClientId=a%00', 400, 'bad-request', 'printable'],
    [
      'two names',
      'get',
      '?sseClientId=a&sseClientId=b',
      400,
      'bad-request',
      'occurs more than once',
    ],
    ['another version', 'get', '?sseClientId=a&sseProtocol=3', 400, 'bad-request', 'sseProtocol=2'],
    ['no version', 'get', '?sseClientId=a&sseProtocol=', 400, 'bad-request', 'sseProtocol=2'],
    ['a POST without name', 'post', '', 400, 'bad-request', '"sseClientId" must be'],
    ['a negative number', 'post', '?sseClientId=a&messageId=-1', 400, 'bad-request', '"messageId"'],
    [
      'a number of letters',
      'post',
      '?sseClientId=a&messageId=x',
      400,
      'bad-request',
      '"messageId"',
    ],
    ['an empty number', 'post', '?sseClientId=a&messageId=', 400, 'bad-request', '"messageId"'],
    [
      'a huge number',
      'post',
      `?sseClientId=a&messageId=${'9'.repeat(16)}`,
      400,
      'bad-request',
      '"messageId"',
    ],
    [
      'two numbers',
      'post',
      '?sseClientId=a&messageId=0&messageId=1',
      400,
      'bad-request',
      'occurs more than once',
    ],
    [
      'an unknown session',
      'post',
      '?sseClientId=a&messageId=0',
      404,
      'unknown-session',
      'open a new one',
    ],
  ])('answers %s', async (_, method, query, status, error, message) => {
    const { sse, app } = application();
    const errors = record(sse, 'clientError');
    const reply = await supertest(app)[method](`/sse${query}`).set('Content-Type', 'text/plain');
    const expected =
      method === 'post' && status === 404
        ? [400, refusal('bad-request', 'the request body is empty')]
        : [status, refusal(error, message)];
    expect([reply.status, reply.body]).toEqual(expected);
    expect(reply.headers).toMatchObject({
      'content-type': 'application/json',
      'cache-control': 'no-store',
    });
    expect(errors).toEqual([[expect.any(SseRequestError), expect.anything()]]);
    expect(sse.stats()).toMatchObject({ clientErrors: 1, opened: 0 });
  });

  it.each(['PUT', 'DELETE', 'PATCH', 'HEAD'])(
    'answers %s with the methods there are',
    async (method) => {
      const { url } = await openChannel();
      const reply = await sendRequest(addressOf(url, 'a'), { method });
      expect([reply.status, reply.headers.allow]).toEqual([405, 'GET, POST, OPTIONS']);
    },
  );

  it('answers a body that is too slow with 408', async () => {
    const { url, server } = await openChannel({ bodyTimeout: 30 });
    await openDuplex(url);
    const request = once(server, 'request');
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode('{')),
    });
    const init = { method: 'POST', body, duplex: 'half' } as RequestInit;
    const reply = await fetch(addressOf(url, 'a'), init);
    expect([reply.status, await reply.json()]).toEqual([408, refusal('request-timeout', '30 ms')]);
    await request;
  });

  it('answers a message that is too large with 413 and the bound', async () => {
    const { url } = await openChannel({ maxPayload: 100 });
    const { post: send } = await openDuplex(url);
    const reply = await send({ messages: ['x'.repeat(2000)] });
    expect([reply.status, reply.json]).toEqual([
      413,
      { ...refusal('content-too-large', '100 bytes'), maxPayload: 100 },
    ]);
    expect((await send({ messages: ['x'.repeat(98)] })).status).toBe(200);
  });

  it('answers another type with 415', async () => {
    const { app } = application();
    const reply = await supertest(app).post('/sse?sseClientId=a').type('form').send('a=b');
    expect([reply.status, reply.body]).toEqual([
      415,
      refusal('unsupported-media-type', 'application/json'),
    ]);
  });

  it('answers an origins function that throws with 403, and tells what it threw', async () => {
    const cause = new Error('from the application');
    const { url, sse } = await openChannel({
      allowedOrigins: () => {
        throw cause;
      },
    });
    const errors = record(sse, 'clientError');
    const headers = { Origin: 'https://foreign.example', Host: 'app.example' };
    const reply = await sendRequest(addressOf(url, 'a'), { headers });
    expect([reply.status, JSON.parse(reply.text)]).toEqual([
      403,
      { code: 'forbidden', message: 'not allowed' },
    ]);
    expect(errors).toMatchObject([[{ code: 'forbidden', cause }, {}]]);
  });

  it('is fine when nobody listens', async () => {
    const { url } = await openChannel();
    expect((await sendRequest(url)).status).toBe(400);
    expect((await sendRequest(url)).status).toBe(400);
  });

  it('leaves the connection good for another request', async () => {
    const { url, server } = await openChannel({ maxPayload: 100 });
    const sockets = record(server, 'connection');
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const body = 'x'.repeat(200_000);
    for (let i = 0; i < 3; i++) {
      expect((await sendRequest(addressOf(url, 'a'), { method: 'POST', body, agent })).status).toBe(
        413,
      );
    }
    expect(sockets).toHaveLength(1);
  });
});

describe('the path', () => {
  it.each(['/', '/ss', '/ssefoo', '/sse/foo', '/sse/client.jsx', '/SSE'])(
    'leaves %s to the application',
    async (path) => {
      const { app } = application();
      app.use((request, response) => void response.send(`application: ${request.url}`));
      const reply = await supertest(app).get(path);
      expect(reply.text).toBe(`application: ${path}`);
    },
  );

  it.each([
    ['/sse', '/sse/?sseClientId=a'],
    ['/sse/', '/sse?sseClientId=a'],
    ['/', '/?sseClientId=a'],
    ['/a/b', '/a/b?sseClientId=a'],
  ])('%s is at %s', async (path, address) => {
    const { origin } = await listen(express().use(createSse({}, path)));
    const stream = await openStream(origin + address);
    expect([stream.status, Object.keys(await stream.take())]).toEqual([200, ['retry', 'id']]);
  });

  it('is that of the router which it is mounted in', async () => {
    const sse = createSse();
    const router = express.Router().use(sse);
    const { origin } = await listen(express().use('/api', router));
    const connections = record(sse, 'connection');
    const { post: send } = await openDuplex(`${origin}/api/sse`);
    expect(connections).toHaveLength(1);
    expect((connections[0]![1] as express.Request).originalUrl).toContain('/api/sse?');
    expect((await send({ messages: [1] })).status).toBe(200);
    expect((await sendRequest(`${origin}/api/sse/client.js`)).status).toBe(200);
    expect((await sendRequest(`${origin}/sse`)).status).toBe(404);
  });

  it('may be `/` under a prefix', async () => {
    const { origin } = await listen(express().use('/live', createSse({}, '/')));
    expect((await openDuplex(`${origin}/live`)).hello.resumed).toBe(false);
    expect((await sendRequest(`${origin}/live/client.js`)).status).toBe(200);
    expect((await sendRequest(`${origin}/live/other`)).status).toBe(404);
  });

  it('may be served twice, each with sessions of its own', async () => {
    const [a, b] = [createSse({}, '/a'), createSse({}, '/b')];
    const { origin } = await listen(express().use(a, b));
    await openDuplex(`${origin}/a`);
    await openDuplex(`${origin}/b`);
    expect([a.connections.size, b.connections.size]).toEqual([1, 1]);
  });

  it('is served without Express', async () => {
    const sse = createSse();
    const { origin } = await listen((request, response) => {
      sse(request, response, () => response.writeHead(404).end());
    });
    expect((await openDuplex(`${origin}/sse`)).hello.resumed).toBe(false);
    expect((await sendRequest(`${origin}/other`)).status).toBe(404);
  });

  it('is served behind body parsers of any kind', async () => {
    const { url, connections } = await openChannel({}, (app) =>
      app.use(express.json({ strict: false }), express.text(), express.urlencoded()),
    );
    const { post: send } = await openDuplex(url);
    const messages = record(connections[0]!, 'message');
    expect((await send({ messages: ['x', { y: 1 }] })).json).toEqual({ received: 2 });
    expect(messages).toEqual([['x'], [{ y: 1 }]]);
  });
});

describe('attach', () => {
  it("takes the path's requests ahead of Express, and leaves it the others", async () => {
    const seen: string[] = [];
    const app = express().use((request, response) => {
      seen.push(request.url);
      response.send('application');
    });
    const { server, origin } = await listen(app);
    const sse = createSse();
    sse.attach(server);
    const { post: send } = await openDuplex(`${origin}/sse`);
    expect((await send({ messages: [1] })).status).toBe(200);
    expect((await sendRequest(`${origin}/other`)).text).toBe('application');
    expect(seen).toEqual(['/other']);
  });

  it('authorizes all the same', async () => {
    const { server, origin } = await listen(express());
    createSse({ authorize: () => false }).attach(server);
    expect((await sendRequest(`${origin}/sse?sseClientId=a`)).status).toBe(403);
  });
});

describe('the connections', () => {
  it('are those of the sessions, by name and one after the other', async () => {
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

  it('stay while a stream is lost', async () => {
    const { sse, url, connections } = await openChannel();
    const { stream } = await openDuplex(url);
    stream.cut();
    await waitFor(() => !connections[0]!.connected);
    expect([...sse.connections]).toEqual(connections);
    expect(sse.stats()).toMatchObject({ connections: 1, connected: 0 });
  });

  it('are counted in stats', async () => {
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
    expect(sse.stats()).toMatchObject({
      connections: 2,
      connected: 2,
      opened: 2,
      resumed: 1,
      clientErrors: 1,
    });
    a.stream.cut();
    connections.forEach((connection) => connection.send('x'));
    expect(sse.stats().bufferedAmount).toBe(2 * 'data: "x"\n\n'.length);
  });

  it('listeners come once, and go', async () => {
    const { sse, url } = await openChannel();
    const onces: unknown[] = [];
    const never = jest.fn();
    expect(sse.once('connection', ({ id }) => onces.push(id))).toBe(sse);
    expect(sse.on('connection', never).off('connection', never)).toBe(sse);
    await openDuplex(url, 'a');
    await openDuplex(url, 'b');
    expect(onces).toEqual(['a']);
    expect(never).not.toHaveBeenCalled();
  });
});

describe('a broadcast', () => {
  it('goes to every connection, of both dialects, serialised once', async () => {
    const { sse, url } = await openChannel();
    const a = await openDuplex(url, 'a');
    const b = await openDuplex(url, 'b');
    const base = await openStream(addressOf(url, 'c'));
    await base.take();
    const before = [a, b].map(({ stream }) => stream.text().length);
    const message = { toJSON: jest.fn(() => 'ü\n') };
    sse.broadcast(message);
    expect(await a.stream.takeData()).toBe('ü\n');
    expect(await b.stream.takeData()).toBe('ü\n');
    expect(await base.takeData()).toBe('ü\n');
    expect(message.toJSON).toHaveBeenCalledTimes(1);
    const frames = [a, b].map(({ stream }, i) => stream.text().slice(before[i]));
    expect(frames).toEqual(['data: "ü\\n"\n\n', 'data: "ü\\n"\n\n']);
  });

  it('goes to those that the filter picks', async () => {
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

  it('waits for a client whose stream is lost', async () => {
    const { sse, url, connections } = await openChannel();
    const client = await openDuplex(url);
    client.stream.cut();
    await waitFor(() => !connections[0]!.connected);
    sse.broadcast('meanwhile');
    const stream = await client.resume(0);
    await stream.take();
    expect(await stream.takeData()).toBe('meanwhile');
  });

  it('keeps its place among what else is sent in the same turn', async () => {
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

  it('is one write, of what a turn sent to all and to one', async () => {
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

  it('counts at once', async () => {
    const { sse, url, connections } = await openChannel();
    await openDuplex(url);
    sse.broadcast('12345');
    expect(connections[0]!.bufferedAmount).toBe('data: "12345"\n\n'.length);
    sse.broadcast('12345');
    expect(connections[0]!.unacknowledgedAmount).toBe(2 * 'data: "12345"\n\n'.length);
    sse.broadcast('12345');
    expect(sse.stats().bufferedAmount).toBe(3 * 'data: "12345"\n\n'.length);
  });

  it('does not go to a client that opens after it, in the same turn', async () => {
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

  it('is among what was never confirmed', async () => {
    const { sse, url, connections } = await openChannel();
    const { stream } = await openDuplex(url);
    stream.cut();
    await waitFor(() => !connections[0]!.connected);
    const closes = record(connections[0]!, 'close');
    sse.broadcast('last');
    await sse.close();
    expect(closes).toMatchObject([[1012, '', { unacknowledged: ['last'] }]]);
  });

  it('refuses what JSON has no form of', async () => {
    const { sse, url } = await openChannel();
    await openDuplex(url);
    const message = 'a message must be JSON-serialisable, and undefined is not';
    expect(() => sse.broadcast(undefined)).toThrow(new TypeError(message));
  });
});

describe('maxConnections', () => {
  it('turns a duplex client away with 503 and when to come back', async () => {
    const { url } = await openChannel({ maxConnections: 1 });
    const a = await openDuplex(url, 'a');
    const reply = await sendRequest(`${addressOf(url, 'b')}&sseProtocol=2`);
    expect([reply.status, reply.headers['retry-after']]).toEqual([503, '5']);
    expect(JSON.parse(reply.text)).toMatchObject({ code: 'service-unavailable' });
    expect((await a.resume(0)).status).toBe(200);
  });

  it('turns a base client away with a stream that ends: a status would end its EventSource for good', async () => {
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

  it('has a place again when a session ends', async () => {
    const { url } = await openChannel({ maxConnections: 1 });
    const a = await openDuplex(url, 'a');
    await a.post({ close: { code: 1000, reason: '' } });
    expect((await openDuplex(url, 'b')).hello.resumed).toBe(false);
  });
});

describe('closing the middleware', () => {
  const code = (value: number, reason = '') => ({ close: { code: value, reason } });

  it('tells every client after what was sent, and then the server closes', async () => {
    const { sse, server, url, connections } = await openChannel({ reconnectJitter: 777 });
    const duplex = await openDuplex(url, 'a');
    const base = await openStream(addressOf(url, 'b'));
    await base.take();
    const closes = connections.map((connection) => record(connection, 'close'));
    sse.broadcast('last');
    const closed = sse.close();
    expect(await duplex.stream.takeData()).toBe('last');
    expect(await base.takeData()).toBe('last');
    expect(await duplex.stream.take()).toEqual({
      event: 'close',
      data: '{"code":1012,"reason":"","retry":777}',
    });
    const { retry } = await base.take();
    expect(Number(retry)).toBeGreaterThan(0);
    expect(Number(retry)).toBeLessThanOrEqual(777);
    expect([await duplex.stream.ended, await base.ended]).toEqual(['ended', 'ended']);

    await duplex.post({ ack: 1, ...code(1012) });
    await closed;
    expect(closes).toEqual([
      [[1012, '', { unacknowledged: [] }]],
      [[1012, '', { unacknowledged: [] }]],
    ]);
    expect(sse.connections.size).toBe(0);
    await new Promise((resolve) => server.close(resolve));
  });

  it('ends clients for good with another code', async () => {
    const { sse, url } = await openChannel();
    const duplex = await openDuplex(url, 'a');
    const base = await openStream(addressOf(url, 'b'));
    await base.take();
    const closed = sse.close(4000, 'over');
    expect(await duplex.stream.takeData()).toEqual({ code: 4000, reason: 'over' });
    expect(await base.take()).toEqual({ event: 'control', data: 'close' });
    await duplex.post(code(4000));
    await closed;
  });

  it.each([999, 1006])('refuses code %i', async (value) => {
    const { sse } = application();
    await expect(sse.close(value)).rejects.toThrow(RangeError);
  });

  it('takes what its clients still have to say', async () => {
    const { sse, url, connections } = await openChannel();
    const client = await openDuplex(url);
    const messages = record(connections[0]!, 'message');
    const closed = sse.close();
    await client.stream.take();
    expect((await client.post({ messages: ['late'], ...code(1012) })).json).toEqual({
      received: 1,
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

  it('settles for each who asks', async () => {
    const { sse, url } = await openChannel({ drainTimeout: 60_000 });
    const client = await openDuplex(url);
    const closes = [sse.close(), sse.close()];
    await client.stream.take();
    await client.post(code(1012));
    await Promise.all(closes);
  });

  it('turns new clients away', async () => {
    const { sse, url } = await openChannel();
    await sse.close();
    const duplex = await sendRequest(`${addressOf(url, 'a')}&sseProtocol=2`);
    expect([duplex.status, duplex.headers['retry-after']]).toEqual([503, '5']);
    expect((await sendRequest(addressOf(url, 'b'))).text).toBe('retry: 5000\n\n');
    expect(sse.connections.size).toBe(0);
  });
});

describe('a listener that throws', () => {
  it('is an uncaught exception, and nobody else has to suffer', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sse-duplex-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const { outputFiles } = buildSync({
      entryPoints: [join(__dirname, '../../lib/index.ts')],
      bundle: true,
      platform: 'node',
      define: { SSE_CLIENT_SCRIPT: '""' },
      write: false,
    });
    writeFileSync(join(folder, 'lib.js'), outputFiles[0]!.contents);
    writeFileSync(join(folder, 'main.js'), `(${program.toString()})();`);
    const { stdout } = await promisify(execFile)(process.execPath, ['main.js'], { cwd: folder });
    expect(JSON.parse(stdout)).toEqual({
      status: 200,
      receipt: { received: 3 },
      messages: [1, 2, 3],
      uncaught: ['on connection', 'on message 1', 'on message 2', 'on message 3'],
    });
  });

  /** Runs in a process of its own. */
  function program() {
    /* eslint-disable @typescript-eslint/no-require-imports */
    const { createServer } = require('node:http') as typeof import('node:http');
    const lib = require('./lib.js') as typeof import('../../lib/index');
    /* eslint-enable @typescript-eslint/no-require-imports */
    const uncaught: string[] = [];
    const messages: unknown[] = [];
    process.on('uncaughtException', (error) => uncaught.push(error.message));
    const sse = lib.createSseMiddleware('/sse');
    sse.on('connection', (connection) => {
      connection.on('message', (message) => {
        messages.push(message);
        throw new Error(`on message ${String(message)}`);
      });
      throw new Error('on connection');
    });
    const server = createServer((request, response) => sse(request, response, () => {}));
    server.listen(0, '127.0.0.1', () => void run());

    async function run() {
      const { port } = server.address() as import('node:net').AddressInfo;
      const url = `http://127.0.0.1:${port}/sse?sseClientId=a`;
      const stream = await fetch(`${url}&sseProtocol=2`);
      const { value } = await stream.body!.getReader().read();
      const token = /"token":"([^"]+)"/.exec(new TextDecoder().decode(value))![1];
      const body = JSON.stringify({ token, id: 0, ack: 0, messages: [1, 2, 3] });
      const reply = await fetch(url, { method: 'POST', body });
      const receipt: unknown = await reply.json();
      console.log(JSON.stringify({ status: reply.status, receipt, messages, uncaught }));
      process.exit();
    }
  }
});
