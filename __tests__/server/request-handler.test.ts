import { once } from 'node:events';
import { Agent } from 'node:http';
import { connect } from 'node:net';
import { SseConnection } from '../../lib/index';
import { SseRequestError } from '../../lib/server/request-error';
import { addressOf, openChannel, openDuplex, record } from '../helpers/channel';
import type { Connection } from '../helpers/channel';
import { turn } from '../helpers/fake-timeouts';
import { openStream, post, sendRequest } from '../helpers/http';
import type { RawStream } from '../helpers/http';
import { onTestFinished } from '../helpers/on-test-finished';
import { composeRequest } from '../helpers/pipeline';
import { waitFor } from '../helpers/wait-for';
import { exchange } from '../security/raw-socket';

const UNKNOWN = {
  code: 'unknown-session',
  message:
    'there is no such session on this server: it has ended, it belongs to another user, or another process has it ' +
    '(see the option "cluster"). Open a new one',
};

async function openOne(options: Parameters<typeof openChannel>[0] = {}) {
  const channel = await openChannel(options);
  const client = await openDuplex(channel.url);
  return { ...channel, client, stream: client.stream, connection: channel.connections[0]! };
}

/** A session opened as Dart's client and any EventSource do. */
async function openDart(options: Parameters<typeof openChannel>[0] = {}) {
  const channel = await openChannel(options);
  const stream = await openStream(addressOf(channel.url, 'a'));
  const { id } = await stream.take();
  const reconnect = (value?: string) =>
    openStream(addressOf(channel.url, 'a'), value === undefined ? {} : { 'Last-Event-ID': value });
  const connection = channel.connections[0]!;
  return { ...channel, stream, lastEventId: id!, connection, reconnect };
}

async function lose({ stream, connection }: { stream: RawStream; connection: Connection }) {
  stream.cut();
  await waitFor(() => !connection.connected);
}

const errorBody = (code: string, message: string) => ({
  code,
  message: expect.stringContaining(message) as string,
});

describe('RequestHandler', () => {
  describe('GET', () => {
    it("opens a stream of the Dart dialect that begins with the session's Last-Event-ID", async () => {
      const { url } = await openChannel();
      const stream = await openStream(addressOf(url, 'a'));
      await stream.take();
      expect(stream.status).toBe(200);
      expect(stream.text()).toMatch(/^retry: 1000\nid: [\w-]{21}\.0\nevent: hello\ndata: \n\n$/);
      expect(stream.headers).toMatchObject({
        'content-type': 'text/event-stream',
        'cache-control': 'no-store, no-transform',
        'x-accel-buffering': 'no',
      });
      expect(stream.headers).not.toHaveProperty('sse-protocol');
    });

    it('opens a stream of the duplex dialect that begins with hello', async () => {
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
    ])('accepts the session id %j, and a POST with the same one', async (id) => {
      const { sse, url, connections } = await openChannel();
      await openStream(addressOf(url, id));
      expect(sse.connections.get(id)).toBe(connections[0]);
      expect((await post(addressOf(url, id, 0), '1')).status).toBe(200);
    });

    describe('behind the response to an earlier request on the same connection', () => {
      const TARGETS = {
        duplex: addressOf('/sse', 'b') + '&sseProtocol=2',
        dart: addressOf('/sse', 'b'),
      };

      /** Opens a stream, and sends a second GET on its connection. */
      async function pipelineTwo(url: string, target: string) {
        const { hostname, port } = new URL(url);
        const socket = connect(Number(port), hostname);
        onTestFinished(() => socket.destroy());
        const first = `${addressOf('/sse', 'a')}&sseProtocol=2`;
        socket.write(composeRequest('GET', first) + composeRequest('GET', target));
        await once(socket, 'data');
        return socket;
      }

      it.each(Object.entries(TARGETS))(
        'ends the session of a %s stream whose client has disconnected',
        async (_, target) => {
          const { url, sse, connections } = await openChannel({ reconnectTimeout: 0 });
          const socket = await pipelineTwo(url, target);
          await waitFor(() => connections.length === 2);
          const closes = connections.map((connection) => record(connection, 'close'));
          socket.destroy();
          await waitFor(() => sse.stats().connections === 0);
          const close = [1006, 'the client did not reconnect within 0 ms', expect.anything()];
          expect(closes).toEqual([[close], [close]]);
        },
      );

      it('waits for the client of a poll that has disconnected', async () => {
        const { url, connections } = await openChannel();
        const target = `${TARGETS.duplex}&ssePoll=1`;
        const { text } = await sendRequest(url.replace('/sse', target));
        const { token } = JSON.parse(/^data: (.*)$/m.exec(text)![1]!) as { token: string };
        const [connection] = connections;
        const disconnects = record(connection!, 'disconnect');
        const { hostname, port } = new URL(url);
        const socket = connect(Number(port), hostname);
        const first = `${addressOf('/sse', 'a')}&sseProtocol=2`;
        const resumption = { 'Last-Event-ID': `${token}.0` };
        socket.write(composeRequest('GET', first) + composeRequest('GET', target, resumption));
        await waitFor(() => connection!.bufferedAmount > 0);
        socket.destroy();
        await waitFor(() => disconnects.length > 0);
        expect(connection!.connected).toBe(false);
      });

      it('opens no session for a client that left before `authorize` settled', async () => {
        let settle = (_isAllowed: boolean) => {};
        const { url, sse, connections } = await openChannel({
          authorize: ({ url: target }) =>
            target !== TARGETS.duplex || new Promise<boolean>((resolve) => (settle = resolve)),
        });
        const socket = await pipelineTwo(url, TARGETS.duplex);
        const disconnects = record(connections[0]!, 'disconnect');
        socket.destroy();
        await waitFor(() => disconnects.length > 0);
        settle(true);
        await turn();
        expect(sse.stats().opened).toBe(1);
      });
    });

    it("decodes + in a session id as a space, as Dart's client relies on, in a GET and in a POST [dart]", async () => {
      const { url, connections } = await openChannel();
      await openStream(`${url}?sseClientId=a+/b`);
      expect(connections[0]!.id).toBe('a /b');
      const messages = record(connections[0]!, 'message');
      await post(`${url}?sseClientId=a+/b&messageId=0`, '"x"');
      expect(messages).toEqual([['x']]);
    });

    it.each(['&sseProtocol=2', ''])(
      'opens one session for simultaneous GETs with the same id, and rejects the others with 409 (%j)',
      async (query) => {
        let allow = (_: boolean) => {};
        const isAllowed = new Promise<boolean>((resolve) => (allow = resolve));
        let waiting = 0;
        const { sse, url, connections } = await openChannel({
          authorize: () => {
            waiting++;
            return isAllowed;
          },
        });
        const streams = [1, 2, 3].map(() => openStream(`${addressOf(url, 'a')}${query}`));
        await waitFor(() => waiting === 3);
        allow(true);
        const statuses = (await Promise.all(streams)).map(({ status }) => status);
        expect(statuses.sort()).toEqual([200, 409, 409]);
        expect([connections.length, sse.stats().connections]).toEqual([1, 1]);
      },
    );

    it.each([
      ['connected', false],
      ['disconnected', true],
    ])('rejects a GET without a token for a %s session with 409', async (_, isLost) => {
      const all = await openOne();
      if (isLost) await lose(all);
      for (const query of ['&sseProtocol=2', '']) {
        const reply = await sendRequest(addressOf(all.url, 'a') + query);
        expect([reply.status, JSON.parse(reply.text)]).toMatchObject([
          409,
          { code: 'session-conflict' },
        ]);
      }
      expect(all.connection.connected).toBe(!isLost);
      expect(all.connections).toHaveLength(1);
    });

    it('rejects a GET without the token for a connected Dart session with 409, and leaves the session alone', async () => {
      const { url, connection, connections, stream } = await openDart();
      for (const headers of [{}, { 'Last-Event-ID': 'wrong.0' }, { 'Last-Event-ID': 'rubbish' }]) {
        const reply = await sendRequest(addressOf(url, 'a'), { headers });
        expect([reply.status, JSON.parse(reply.text)]).toMatchObject([
          409,
          { code: 'session-conflict' },
        ]);
      }
      connection.send('x');
      expect(await stream.takeData()).toBe('x');
      expect(connections).toHaveLength(1);
    });

    it('rejects a GET with an unknown session, a wrong token or another principal with the same error', async () => {
      const { url, connections } = await openChannel({
        authorize: (request) => request.headers['x-user'] as string,
      });
      const { token } = await openDuplex(url, 'a', { 'x-user': 'ann' });
      const attempt = async (id: string, lastEventId: string, user: string) => {
        const headers = { 'Last-Event-ID': lastEventId, 'x-user': user };
        return sendRequest(`${addressOf(url, id)}&sseProtocol=2`, { headers });
      };
      const replies = await Promise.all([
        attempt('a', `${'x'.repeat(21)}.0`, 'ann'),
        attempt('a', 'rubbish', 'ann'),
        attempt('a', '', 'ann'),
        attempt('a', `${token}.0`, 'bob'),
        attempt('b', `${token}.0`, 'ann'),
      ]);
      for (const reply of replies) {
        expect([reply.status, JSON.parse(reply.text)]).toEqual([404, UNKNOWN]);
      }
      expect(connections).toHaveLength(1);
      expect(connections[0]!.connected).toBe(true);
    });

    it.each([
      ['more messages than were sent', 3],
      ['fewer messages than it has acknowledged', 0],
    ])('rejects a GET with 404 if the client claims to have received %s', async (_, received) => {
      const { client, connection } = await openOne();
      connection.send('a');
      connection.send('b');
      await client.post({ ack: 1 });
      const stream = await client.resume(received);
      expect(stream.status).toBe(404);
      await stream.ended;
      expect(JSON.parse(stream.text())).toEqual(UNKNOWN);
      expect(connection.connected).toBe(true);
    });

    it('rejects a duplex GET for a Dart session', async () => {
      const { url, connections } = await openChannel();
      const dart = await openStream(addressOf(url, 'a'));
      const { id } = await dart.take();
      const headers = { 'Last-Event-ID': id! };
      const resumed = await sendRequest(`${addressOf(url, 'a')}&sseProtocol=2`, { headers });
      const opened = await sendRequest(`${addressOf(url, 'a')}&sseProtocol=2`);
      expect([resumed.status, opened.status]).toEqual([404, 409]);
      expect(connections).toHaveLength(1);
    });

    it('replaces a Dart session whose stream is lost for a GET without its token', async () => {
      const { connection, connections, stream, reconnect, lastEventId, sse } = await openDart();
      const closes = record(connection, 'close');
      await lose({ stream, connection });
      connection.send('secret');
      const replacement = await reconnect();
      const { id } = await replacement.take();
      expect(id!.split('.')[0]).not.toBe(lastEventId.split('.')[0]);
      expect(closes).toEqual([
        [1006, 'the client came back without resuming the session', { unacknowledged: ['secret'] }],
      ]);
      expect([...sse.connections]).toEqual([connections[1]]);
      connections[1]!.send('for the replacement');
      expect(await replacement.takeData()).toBe('for the replacement');
      expect(replacement.text()).not.toContain('secret');
    });

    it('rejects a GET of another principal for a connected Dart session with 409', async () => {
      const { url, connections } = await openChannel({
        authorize: (request) => request.headers['x-user'] as string,
      });
      const stream = await openStream(addressOf(url, 'a'), { 'x-user': 'ann' });
      const { id } = await stream.take();
      const headers = { 'x-user': 'bob', 'Last-Event-ID': id };
      expect((await sendRequest(addressOf(url, 'a'), { headers })).status).toBe(409);
      expect(connections).toHaveLength(1);
      connections[0]!.send('for ann');
      expect(await stream.takeData()).toBe('for ann');
    });

    it('rejects a GET of another principal for a disconnected Dart session with 409, and keeps the session', async () => {
      const { url, connections } = await openChannel({
        authorize: (request) => request.headers['x-user'] as string,
      });
      const stream = await openStream(addressOf(url, 'a'), { 'x-user': 'ann' });
      const { id } = await stream.take();
      await lose({ stream, connection: connections[0]! });
      connections[0]!.send('for ann');
      for (const headers of [{ 'x-user': 'bob' }, { 'x-user': 'bob', 'Last-Event-ID': id }]) {
        expect((await sendRequest(addressOf(url, 'a'), { headers })).status).toBe(409);
      }
      const resumed = await openStream(addressOf(url, 'a'), {
        'x-user': 'ann',
        'Last-Event-ID': id!,
      });
      await resumed.take();
      expect(await resumed.takeData()).toBe('for ann');
      expect(connections).toHaveLength(1);
    });

    it('replaces a Dart session if messages that the client lacks were discarded', async () => {
      const { connection, connections, stream, reconnect, lastEventId } = await openDart({
        maxReplayBytes: 2 * 'data: "1"\n\n'.length,
      });
      const closes = record(connection, 'close');
      ['1', '2', '3'].forEach((message) => connection.send(message));
      await waitFor(() => stream.waiting() === 3);
      await lose({ stream, connection });
      const second = await reconnect(lastEventId);
      expect((await second.take()).id!.split('.')[0]).not.toBe(lastEventId.split('.')[0]);
      expect(closes).toMatchObject([[1006, expect.stringContaining('without resuming'), {}]]);
      expect(connections).toHaveLength(2);
    });
  });

  describe('POST', () => {
    it('rejects a POST with an unknown session, a wrong token or another principal with the same error', async () => {
      const { url } = await openChannel({
        authorize: (request) => request.headers['x-user'] as string,
      });
      const client = await openDuplex(url, 'a', { 'x-user': 'ann' });
      const body = (token: string) => JSON.stringify({ token, id: 0, ack: 0, messages: ['x'] });
      const replies = await Promise.all([
        post(addressOf(url, 'a'), body('x'.repeat(21)), { 'x-user': 'ann' }),
        post(addressOf(url, 'a'), body('short'), { 'x-user': 'ann' }),
        post(addressOf(url, 'b'), body(client.token), { 'x-user': 'ann' }),
        post(addressOf(url, 'a'), body(client.token), { 'x-user': 'bob' }),
        post(addressOf(url, 'b'), body(client.token), { 'x-user': 'bob' }),
      ]);
      for (const { status, json } of replies) expect([status, json]).toEqual([404, UNKNOWN]);
      expect((await client.post({ messages: ['y'] })).json).toEqual({ received: 1 });
    });

    it.each<[string, object]>([
      ['no token', { token: undefined }],
      ['a close reason of 124 bytes of UTF-8', { close: { code: 1000, reason: 'é'.repeat(62) } }],
      ['a close code that may not be sent', { close: { code: 1006, reason: '' } }],
    ])('rejects an envelope with %s with 400 and leaves the session open', async (_, fields) => {
      const { url, connections } = await openChannel();
      const client = await openDuplex(url);
      const messages = record(connections[0]!, 'message');
      const reply = await client.post({ messages: ['x'], ...fields });
      expect([reply.status, reply.json]).toMatchObject([400, { code: 'bad-request' }]);
      expect(messages).toEqual([]);
      expect(connections[0]!.readyState).toBe(SseConnection.OPEN);
      expect((await client.post({ messages: ['y'] })).json).toEqual({ received: 1 });
      expect(messages).toEqual([['y']]);
    });

    it('accepts a close reason of 123 bytes of UTF-8', async () => {
      const { url, connections } = await openChannel();
      const client = await openDuplex(url);
      const closes = record(connections[0]!, 'close');
      const reason = `${'é'.repeat(61)}x`;
      expect((await client.post({ close: { code: 4999, reason } })).status).toBe(200);
      expect(closes).toEqual([[4999, reason, { unacknowledged: [] }]]);
    });

    it.each(['null', '[]'])('rejects the body %s for a duplex session with 400', async (body) => {
      const { url } = await openChannel();
      await openDuplex(url);
      const reply = await post(addressOf(url, 'a'), body);
      expect([reply.status, reply.json]).toMatchObject([400, { code: 'bad-request' }]);
    });

    it('rejects a body that does not arrive within bodyTimeout with 408', async () => {
      const { url } = await openChannel({ bodyTimeout: 30 });
      await openDuplex(url);
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new TextEncoder().encode('{')),
      });
      const init = { method: 'POST', body, duplex: 'half' } as RequestInit;
      const reply = await fetch(addressOf(url, 'a'), init);
      expect([reply.status, await reply.json()]).toEqual([
        408,
        errorBody('request-timeout', '30 ms'),
      ]);
    });

    it('rejects a message above maxPayload with 413 and the limit, and accepts one within the envelope allowance', async () => {
      const { url } = await openChannel({ maxPayload: 100 });
      const { post: send } = await openDuplex(url);
      const reply = await send({ messages: ['x'.repeat(2000)] });
      expect([reply.status, reply.json]).toEqual([
        413,
        { ...errorBody('content-too-large', '100 bytes'), maxPayload: 100 },
      ]);
      expect((await send({ messages: ['x'.repeat(98)] })).status).toBe(200);
    });

    it('allows no envelope for a message of the Dart dialect', async () => {
      const { url } = await openChannel({ maxPayload: 100 });
      await openStream(addressOf(url, 'a'));
      const ofSize = (size: number) => JSON.stringify('x'.repeat(size - 2));
      expect((await post(addressOf(url, 'a', 0), ofSize(100))).status).toBe(200);
      expect((await post(addressOf(url, 'a', 1), ofSize(101))).status).toBe(413);
    });

    it('rejects another media type with 415', async () => {
      const { url } = await openChannel();
      await openDuplex(url);
      const reply = await post(addressOf(url, 'a'), 'a=b', {
        'Content-Type': 'application/x-www-form-urlencoded',
      });
      expect([reply.status, reply.json]).toEqual([
        415,
        errorBody('unsupported-media-type', 'application/json'),
      ]);
    });

    it('rejects an unknown session and another principal with 404 whatever the body is', async () => {
      const { url } = await openChannel({
        maxPayload: 10,
        authorize: (request) => request.headers['x-user'] as string,
      });
      await openDuplex(url, 'a', { 'x-user': 'ann' });
      for (const [id, user] of [
        ['b', 'ann'],
        ['a', 'bob'],
      ] as const) {
        const reply = await post(addressOf(url, id), 'x'.repeat(5_000), { 'x-user': user });
        expect([reply.status, reply.json]).toEqual([404, UNKNOWN]);
      }
    });

    it('rejects a POST for an unknown session before its body arrives', async () => {
      const { url } = await openChannel();
      const { origin, host, pathname } = new URL(url);
      const head = `POST ${pathname}?sseClientId=a HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n`;
      const text = await exchange(origin, `${head}Content-Length: 100\r\n\r\n`);
      expect(text).toMatch(/^HTTP\/1\.1 404 /);
    });

    it('rejects messages whose sum exceeds maxPayload although the body is within the envelope allowance', async () => {
      const { url } = await openChannel({ maxPayload: 100 });
      const client = await openDuplex(url);
      const half = 'x'.repeat(47); // 49 bytes of JSON: two of them and a comma are 99 bytes
      const reply = await client.post({ messages: [half, `${half}xx`] });
      expect([reply.status, reply.json]).toMatchObject([413, { maxPayload: 100 }]);
      expect((await client.post({ messages: [half, `${half}x`] })).json).toEqual({ received: 2 });
    });

    it('does not consume the number of a message that another principal sent', async () => {
      const { url, connections } = await openChannel({
        authorize: (request) => request.headers['x-user'] as string,
      });
      await openStream(addressOf(url, 'a'), { 'x-user': 'ann' });
      const messages = record(connections[0]!, 'message');
      expect((await post(addressOf(url, 'a', 0), '{', { 'x-user': 'bob' })).status).toBe(404);
      expect((await post(addressOf(url, 'a', 0), '1', { 'x-user': 'bob' })).status).toBe(404);
      await post(addressOf(url, 'a', 0), '"x"', { 'x-user': 'ann' });
      expect(messages).toEqual([['x']]);
    });
  });

  describe('errors', () => {
    it.each<[string, string, string | undefined, number, string, string]>([
      ['GET', '', undefined, 400, 'bad-request', '"sseClientId" must be the session id'],
      ['POST', '?sseClientId=a&messageId=-1', '1', 400, 'bad-request', '"messageId"'],
      ['POST', '?sseClientId=a&messageId=0', '', 404, 'unknown-session', 'Open a new one'],
      ['POST', '?sseClientId=a&messageId=0', '{', 404, 'unknown-session', 'Open a new one'],
      ['POST', '?sseClientId=a&messageId=0', '1', 404, 'unknown-session', 'Open a new one'],
      ['PUT', '?sseClientId=a', undefined, 405, 'method-not-allowed', 'method "PUT"'],
    ])(
      'reports %s %s with the body %p as status %i, as a clientError and in the statistics',
      async (method, query, body, status, code, message) => {
        const { sse, url } = await openChannel();
        const errors = record(sse, 'clientError');
        const headers = { 'Content-Type': 'text/plain' };
        const reply = await sendRequest(url + query, { method, headers, body });
        expect([reply.status, JSON.parse(reply.text)]).toEqual([status, errorBody(code, message)]);
        expect(reply.headers).toMatchObject({
          'content-type': 'application/json',
          'cache-control': 'no-store',
        });
        expect(errors).toEqual([[expect.any(SseRequestError), expect.anything()]]);
        expect(errors[0]![0]).toMatchObject({ code, status });
        expect(errors[0]![1]).toMatchObject({ method, url: `/sse${query}` });
        expect(sse.stats()).toMatchObject({ clientErrors: 1, opened: 0 });
      },
    );

    it.each(['PUT', 'DELETE', 'PATCH', 'HEAD'])(
      'rejects %s with 405 and the allowed methods',
      async (method) => {
        const { url } = await openChannel();
        const reply = await sendRequest(addressOf(url, 'a'), { method });
        expect([reply.status, reply.headers.allow]).toEqual([405, 'GET, POST, OPTIONS']);
      },
    );

    it('keeps the connection usable for the requests that follow a rejected one', async () => {
      const { url, server } = await openChannel({ maxPayload: 100 });
      const sockets = record(server, 'connection');
      const client = await openDuplex(url);
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      onTestFinished(() => agent.destroy());
      const body = 'x'.repeat(200_000);
      for (let i = 0; i < 3; i++) {
        expect(
          (await sendRequest(addressOf(url, 'a'), { method: 'POST', body, agent })).status,
        ).toBe(413);
      }
      expect(sockets).toHaveLength(2); // that of the stream, and one for all POSTs
      expect((await client.post({ messages: ['x'] })).json).toEqual({ received: 1 });
    });

    it('rejects with 403 if allowedOrigins throws, and reports the exception as the cause', async () => {
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
        { code: 'forbidden', message: 'origin "https://foreign.example" is not allowed' },
      ]);
      expect(errors).toMatchObject([[{ code: 'forbidden', cause }, {}]]);
    });

    it('rejects requests as well without a clientError listener', async () => {
      const { url } = await openChannel();
      expect((await sendRequest(url)).status).toBe(400);
      expect((await sendRequest(url)).status).toBe(400);
    });
  });
});
