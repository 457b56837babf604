import { once } from 'node:events';
import { createServer } from 'node:http';
import express from 'express';
import { addressOf, createSse, listen, openChannel, openDuplex, record } from '../helpers/channel';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { openStream, post, sendRequest } from '../helpers/http';
import { onTestFinished } from '../helpers/on-test-finished';
import { waitFor } from '../helpers/wait-for';
import { exchange } from '../security/raw-socket';

/** Ends a session from the client's side. */
const CLOSE = { close: { code: 1000, reason: '' } };

describe('message listeners', () => {
  it('keeps messages while there is no listener, also between two of them', async () => {
    const { url, connections } = await openChannel();
    const client = await openDuplex(url);
    const connection = connections[0]!;
    const first = once(connection, 'message');
    await client.post({ messages: ['a', 'b', 'c'] });
    expect(await first).toEqual(['a']);
    await turn();
    const messages = record(connection, 'message');
    await waitFor(() => messages.length === 2);
    expect(messages).toEqual([['b'], ['c']]);
  });

  it.each([0, 100])(
    'keeps the messages of a closed session for a listener that is added later (reconnectTimeout %i)',
    async (reconnectTimeout) => {
      const { url, connections } = await openChannel({ reconnectTimeout });
      const client = await openDuplex(url);
      await client.post({ messages: ['a'], ...CLOSE });
      await new Promise((resolve) => setTimeout(resolve, 300));
      const messages = record(connections[0]!, 'message');
      const closes = record(connections[0]!, 'close');
      await waitFor(() => closes.length === 1);
      expect(messages).toEqual([['a']]);
    },
  );

  it('emits close, and discards the messages, 30 s after the end of a session without a listener', async () => {
    const { url, connections } = await openChannel({ reconnectTimeout: 3_600_000 });
    const client = await openDuplex(url);
    const closes = record(connections[0]!, 'close');
    useFakeTimeouts();
    await client.post({ messages: ['a'], ...CLOSE });
    jest.advanceTimersByTime(29_999);
    expect(closes).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(closes).toHaveLength(1);
    const messages = record(connections[0]!, 'message');
    await turn();
    expect(messages).toEqual([]);
  });
});

describe('a session that has ended', () => {
  it('leaves no timer behind after the closing handshake', async () => {
    const { url, connections } = await openChannel({ reconnectTimeout: 3_600_000 });
    const { stream, post: send } = await openDuplex(url);
    record(connections[0]!, 'message');
    const timers = new Set<unknown>();
    const { setTimeout: original } = global;
    const spy = jest.spyOn(global, 'setTimeout').mockImplementation(((...args: unknown[]) => {
      const timer = Reflect.apply(original, global, args) as NodeJS.Timeout;
      if (args[1] === 3_600_000) timers.add(timer);
      return timer;
    }));
    onTestFinished(() => spy.mockRestore());
    await send(CLOSE);
    await stream.ended;
    await turn();
    expect(timers.size).toBe(0);
  });

  it('is no longer one of the connections, even if the application has paused it', async () => {
    const { url, sse, connections } = await openChannel();
    const client = await openDuplex(url);
    connections[0]!.on('message', () => {});
    connections[0]!.pause();
    await client.post({ messages: ['a'], ...CLOSE });
    expect([sse.connections.size, sse.stats().connections]).toEqual([0, 0]);
  });
});

describe('the size of a message', () => {
  it('is measured if a body parser has read a body without Content-Length', async () => {
    const { url } = await openChannel({ maxPayload: 100 }, (app) => app.use(express.json()));
    await openStream(addressOf(url, 'a'));
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(JSON.stringify(['x'.repeat(1_000)])));
        controller.close();
      },
    });
    const init = { method: 'POST', body, duplex: 'half' } as RequestInit;
    const headers = { 'Content-Type': 'application/json' };
    const reply = await fetch(addressOf(url, 'a', 0), { ...init, headers });
    expect(reply.status).toBe(413);
  });

  it('may not exceed maxPayload within the allowance for the envelope', async () => {
    const { url } = await openChannel({ maxPayload: 1_000 });
    const client = await openDuplex(url);
    expect((await client.post({ messages: ['x'.repeat(999)] })).status).toBe(413);
    expect((await client.post({ messages: ['x'.repeat(998)] })).status).toBe(200);
    expect((await client.post({ id: 1, messages: ['x'.repeat(499), 'x'] })).status).toBe(200);
  });
});

describe('a POST', () => {
  it('for an unknown session is rejected before its body arrives', async () => {
    const { url } = await openChannel();
    const { host, pathname } = new URL(url);
    const head = `POST ${pathname}?sseClientId=none HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n`;
    const text = await exchange(new URL(url).origin, `${head}Content-Length: 100\r\n\r\n`);
    expect(text).toMatch(/^HTTP\/1\.1 404 /);
  });

  it('for the session of another principal is rejected as for an unknown one, whatever its size', async () => {
    const { url } = await openChannel({
      maxPayload: 10,
      authorize: ({ headers }) => String(headers['x-user']),
    });
    await openDuplex(url, 'a', { 'x-user': 'ann' });
    const body = 'x'.repeat(5_000);
    const [own, unknown] = await Promise.all(
      ['a', 'none'].map((id) => post(addressOf(url, id), body, { 'x-user': 'bob' })),
    );
    expect([own!.status, own!.json]).toEqual([404, unknown!.json]);
  });
});

describe('a Dart session whose stream is lost', () => {
  it('is not replaced by another principal, and can still be resumed', async () => {
    const authorize = ({ headers }: express.Request) => String(headers['x-user']);
    const { url, connections } = await openChannel({ authorize });
    const stream = await openStream(addressOf(url, 'a'), { 'x-user': 'ann' });
    const { id } = await stream.take();
    stream.cut();
    await waitFor(() => !connections[0]!.connected);
    const other = await openStream(addressOf(url, 'a'), { 'x-user': 'bob' });
    expect(other.status).toBe(409);
    const back = await openStream(addressOf(url, 'a'), { 'x-user': 'ann', 'Last-Event-ID': id! });
    expect([back.status, connections[0]!.connected]).toEqual([200, true]);
  });
});

describe('an exception of other middleware', () => {
  it('while a response is written goes to the error handler of the application', async () => {
    const failure = new Error('from writeHead');
    const { url, sse } = await openChannel({}, (app) => {
      app.use((_request, response, next) => {
        const { writeHead } = response;
        response.writeHead = () => {
          response.writeHead = writeHead;
          throw failure;
        };
        next();
      });
    });
    const rejections: unknown[] = [];
    const onRejection = (error: unknown) => void rejections.push(error);
    process.on('unhandledRejection', onRejection);
    onTestFinished(() => process.off('unhandledRejection', onRejection));
    const replies = [
      await sendRequest(addressOf(url, 'a')),
      await sendRequest(addressOf(url, 'a', 0), { method: 'POST', body: '1' }),
    ];
    await turn();
    for (const { status, text } of replies) {
      expect([status, text]).toEqual([500, expect.stringContaining('from writeHead')]);
    }
    expect([rejections, sse.connections.size, sse.stats().connected]).toEqual([[], 0, 0]);
  });
});

describe('attach', () => {
  it('may be called before the application adds its request listener', async () => {
    const server = createServer();
    const sse = createSse();
    sse.attach(server);
    const seen: string[] = [];
    server.on('request', (request, response) => {
      seen.push(request.url!);
      response.end('application');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as { port: number };
    const client = await openDuplex(`http://127.0.0.1:${port}/sse`);
    expect((await client.post({ messages: [1] })).status).toBe(200);
    expect((await sendRequest(`http://127.0.0.1:${port}/other`)).text).toBe('application');
    expect(seen).toEqual(['/other']);
  });
});

describe('the request target', () => {
  it.each(['express', 'attach'])('may be an absolute URL [RFC 9112 §3.2.2] (%s)', async (mount) => {
    const sse = createSse();
    const app = express();
    if (mount === 'express') app.use(sse);
    const { server, origin } = await listen(app);
    if (mount === 'attach') sse.attach(server);
    const { host } = new URL(origin);
    const target = `http://${host}/sse?sseClientId=a&messageId=0`;
    const text = await exchange(
      origin,
      `POST ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1`,
    );
    expect(text).toMatch(/^HTTP\/1\.1 404 [^]*unknown-session/);
  });
});

describe('broadcast', () => {
  it('sends nothing if the filter throws', async () => {
    const { url, sse, connections } = await openChannel();
    const clients = [await openDuplex(url, 'a'), await openDuplex(url, 'b')];
    const failure = new Error('from the filter');
    const filter = (connection: unknown) => {
      if (connection === connections[1]) throw failure;
      return true;
    };
    expect(() => sse.broadcast('x', filter)).toThrow(failure);
    await turn();
    expect(clients.map(({ stream }) => stream.waiting())).toEqual([0, 0]);
  });

  it('reaches all clients in one order, also if a close listener broadcasts in the middle of it', async () => {
    const { url, sse, connections } = await openChannel({ maxBufferedAmount: 100 });
    const [first, full, last] = [
      await openDuplex(url, 'a'),
      await openDuplex(url, 'b'),
      await openDuplex(url, 'c'),
    ];
    connections[1]!.send('x'.repeat(80));
    connections[1]!.on('close', () => sse.broadcast('left'));
    sse.broadcast('y'.repeat(20));
    for (const { stream } of [first, last]) {
      expect([await stream.takeData(), await stream.takeData()]).toEqual(['y'.repeat(20), 'left']);
    }
    await full.stream.ended;
  });
});
