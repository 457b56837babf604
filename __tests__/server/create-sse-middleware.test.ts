import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildSync } from 'esbuild';
import express from 'express';
import supertest from 'supertest';
import { SseConnection, createSseMiddleware } from '../../lib/index';
import type { SseOptions } from '../../lib/index';
import { addressOf, createSse, listen, openChannel, openDuplex, record } from '../helpers/channel';
import { openStream, sendRequest } from '../helpers/http';
import { onTestFinished } from '../helpers/on-test-finished';
import { exchange } from '../security/raw-socket';

/** An application for supertest, which starts a server for each request. */
function application(options: SseOptions<express.Request> = {}) {
  const sse = createSse(options);
  return { sse, app: express().use(sse) };
}

describe('createSseMiddleware', () => {
  it.each(['sse', '', '/sse?a', '/sse#a', '/s*', '/:id', '/s(e)', '/s e', undefined, /sse/])(
    'rejects the path %p',
    (path) => {
      const build = () => createSseMiddleware(path as string);
      expect(build).toThrow(TypeError);
      expect(build).toThrow(
        'path must be a plain path such as "/sse", without parameters or patterns, not ',
      );
    },
  );

  it.each(['/', '/sse', '/sse/', '/a/b-c_d.e'])('accepts the path %p', (path) => {
    expect(() => createSseMiddleware(path)).not.toThrow();
  });

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
    ['/ü', '/%C3%BC?sseClientId=a'],
  ])('with the path %s serves %s', async (path, address) => {
    const { origin } = await listen(express().use(createSse({}, path)));
    const stream = await openStream(origin + address);
    expect([stream.status, Object.keys(await stream.take())]).toEqual([
      200,
      ['retry', 'id', 'event', 'data'],
    ]);
  });

  it('serves its path below the router that it is mounted in', async () => {
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

  it('serves the path / below a prefix', async () => {
    const { origin } = await listen(express().use('/live', createSse({}, '/')));
    expect((await openDuplex(`${origin}/live`)).hello.resumed).toBe(false);
    expect((await sendRequest(`${origin}/live/client.js`)).status).toBe(200);
    expect((await sendRequest(`${origin}/live/other`)).status).toBe(404);
  });

  it('can be mounted twice, each with its own sessions', async () => {
    const [a, b] = [createSse({}, '/a'), createSse({}, '/b')];
    const { origin } = await listen(express().use(a, b));
    await openDuplex(`${origin}/a`);
    await openDuplex(`${origin}/b`);
    expect([a.connections.size, b.connections.size]).toEqual([1, 1]);
  });

  it('works without Express', async () => {
    const sse = createSse();
    const { origin } = await listen((request, response) => {
      sse(request, response, () => response.writeHead(404).end());
    });
    expect((await openDuplex(`${origin}/sse`)).hello.resumed).toBe(false);
    expect((await sendRequest(`${origin}/other`)).status).toBe(404);
  });

  it('works behind body parsers of any kind', async () => {
    const { url, connections } = await openChannel({}, (app) =>
      app.use(express.json({ strict: false }), express.text(), express.urlencoded()),
    );
    const { post: send } = await openDuplex(url);
    const messages = record(connections[0]!, 'message');
    expect((await send({ messages: ['x', { y: 1 }] })).json).toEqual({ received: 2 });
    expect(messages).toEqual([['x'], [{ y: 1 }]]);
  });

  it.each(['/', '/sse?sseClientId=a'])('passes no error to next() for %s', async (path) => {
    const { app } = application({ authorize: () => false });
    const errors: unknown[] = [];
    app.use((_request, response) => void response.status(404).end());
    const onError: express.ErrorRequestHandler = (error, _request, response, _next) => {
      errors.push(error);
      response.end();
    };
    app.use(onError);
    const reply = await supertest(app).get(path);
    expect([reply.status, errors]).toEqual([path === '/' ? 404 : 403, []]);
  });

  it.each(['app.use', 'attach'])(
    'serves a request whose target is an absolute URL with %s [RFC 9112 §3.2.2]',
    async (mount) => {
      const sse = createSse();
      const app = express();
      if (mount === 'app.use') app.use(sse);
      const { server, origin } = await listen(app);
      if (mount === 'attach') sse.attach(server);
      const target = addressOf(`${origin}/sse`, 'a', 0);
      const head = `POST ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n`;
      const text = await exchange(origin, `${head}Content-Length: 1\r\n\r\n1`);
      expect(text).toMatch(/^HTTP\/1\.1 404 [^]*unknown-session/);
    },
  );

  it('passes an exception of a replaced response method to the error handler, and keeps no session', async () => {
    const error = new Error('of other middleware');
    const { url, sse } = await openChannel({}, (app) => {
      app.use((_request, response, next) => {
        const { writeHead } = response;
        response.writeHead = () => {
          response.writeHead = writeHead;
          throw error;
        };
        next();
      });
    });
    const replies = [
      await sendRequest(addressOf(url, 'a')),
      await sendRequest(addressOf(url, 'a', 0), { method: 'POST', body: '1' }), // an error response
    ];
    for (const { status, text } of replies) {
      expect([status, text]).toEqual([500, expect.stringContaining('of other middleware')]);
    }
    expect(sse.stats()).toMatchObject({ connections: 0, connected: 0, opened: 1 });
  });

  describe('events', () => {
    it('emits connection with the connection and the request', async () => {
      const { sse, url } = await openChannel();
      const calls = record(sse, 'connection');
      await openDuplex(url, 'the id');
      expect(calls).toHaveLength(1);
      const [connection, request] = calls[0] as [SseConnection, express.Request];
      expect(connection).toBeInstanceOf(SseConnection);
      expect(connection).toMatchObject({ id: 'the id', request, connected: true, readyState: 1 });
      expect(request.url).toBe('/sse?sseClientId=the%20id&sseProtocol=2');
    });

    it('calls a once listener once, and a removed listener never', async () => {
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

    it('turns the exception of a listener into an uncaught exception without affecting the session', async () => {
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
        postResponse: { received: 3 },
        messages: [1, 2, 3],
        uncaught: ['on connection', 'on message 1', 'on message 2', 'on message 3'],
      });
    });

    /** Runs in a separate process, which the exceptions of the listeners would end. */
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
        const postResponse: unknown = await reply.json();
        console.log(JSON.stringify({ status: reply.status, postResponse, messages, uncaught }));
        process.exit();
      }
    }
  });

  describe('attach', () => {
    it('handles requests of the path before Express, and leaves it the others', async () => {
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

    it('authorizes requests as the middleware does', async () => {
      const { server, origin } = await listen(express());
      createSse({ authorize: () => false }).attach(server);
      expect((await sendRequest(`${origin}/sse?sseClientId=a`)).status).toBe(403);
    });

    it('leaves requests to listeners that are added later', async () => {
      const { server, origin } = await listen(() => {});
      server.removeAllListeners('request');
      createSse().attach(server);
      server.on('request', (_request, response: ServerResponse) => response.end('added later'));
      expect((await openDuplex(`${origin}/sse`)).hello.resumed).toBe(false);
      expect((await sendRequest(`${origin}/other`)).text).toBe('added later');
    });

    it('keeps a listener that was added with once working once', async () => {
      const urls: string[] = [];
      const { server, origin } = await listen((_, response) => void response.end('application'));
      server.once('request', ({ url }: IncomingMessage) => urls.push(url!));
      createSse().attach(server);
      await openDuplex(`${origin}/sse`);
      expect(urls).toEqual([]);
      expect((await sendRequest(`${origin}/first`)).text).toBe('application');
      expect((await sendRequest(`${origin}/second`)).text).toBe('application');
      expect(urls).toEqual(['/first']);
    });
  });
});
