import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import compression from 'compression';
import express from 'express';
import type { Express, Request } from 'express';
import type { SseClientOptions } from '../../lib/client/index';
import type { SseMiddleware, SseOptions } from '../../lib/index';
import { createSse, listen } from '../helpers/channel';
import { messagesOf, next, openClient } from '../helpers/client';
import { onTestFinished } from '../helpers/on-test-finished';
import { findPort } from '../helpers/programs';
import { waitFor } from '../helpers/wait-for';
import type { Handler } from './frameworks';

/**
 * Typical mistakes around the channel, and the texts that a developer sees for each. `docs/errors.md` has their causes and
 * remedies. For exceptions see `mistakes-in-calls.test.ts`.
 */

const FOREIGN = 'not from sse-duplex: check URL, login and proxy';
const NO_SUCH_SESSION =
  'there is no such session on this server: it has ended, it belongs to another user, or another process has it ' +
  '(see the option "cluster"). Open a new one';

/** The texts that the client and the server produce for a mistake. */
interface Texts {
  /** The first `error`. */
  error?: string;
  /** The reason of `close`, after which the client makes no more requests. */
  close?: string;
  /** The reason of the first `sessionlost`. */
  sessionlost?: string;
  /** The first process warning. */
  warning?: string;
}

interface Situation {
  options?: SseOptions<Request>;
  /** Adds the channel to an application. Default: `app.use(sse)`. */
  mount?: (app: Express, sse: Handler) => void;
  client?: SseClientOptions;
  /** The path that the client uses. Default: /sse. */
  path?: string;
  /** What the client sends at once. Default: a string. */
  message?: unknown;
}

/** Answers every request. */
const answer = (status: number, text: string, headers: Record<string, string> = {}): Handler => {
  return (_, response) => void response.writeHead(status, headers).end(text);
};

/** Replaces the host of a URL, which differs for each server, by HOST. */
const withoutHost = (text: string) => text.replaceAll(/127\.0\.0\.1:\d+/g, 'HOST');

/** Starts a server with the mistake, and a client that sends a message. Returns the texts, when all expected ones are there. */
async function provoke(
  {
    options,
    mount = (app, sse) => app.use(sse),
    client = {},
    path = '/sse',
    message = 'x',
  }: Situation,
  expected: Texts,
): Promise<Texts> {
  const texts: Texts = {};
  const emitWarning = jest.spyOn(process, 'emitWarning').mockImplementation((text, type) => {
    if (type === ('SseDuplexWarning' as never)) texts.warning ??= withoutHost(String(text));
  });
  onTestFinished(() => emitWarning.mockRestore());
  const sse = createSse({ warnings: true, ...options });
  const app = express();
  mount(app, sse);
  const { origin } = await listen(app);
  const open = openClient(origin + path, client);
  open.addEventListener('error', (event) => (texts.error ??= withoutHost(event.message)));
  open.addEventListener('close', ({ reason }) => (texts.close ??= withoutHost(reason)));
  open.addEventListener('sessionlost', ({ reason }) => (texts.sessionlost ??= reason));
  open.send(message);
  await waitFor(() => Object.keys(expected).every((name) => name in texts));
  return texts;
}

const onlyPosts =
  (handler: Handler): Handler =>
  (request, response, next_) =>
    request.method === 'POST' ? handler(request, response, next_) : next_();

/** A rate limiter: answers all requests after the first ones. */
function limitTo(requests: number): Handler {
  let count = 0;
  return (request, response, next_) =>
    ++count > requests ? answer(429, 'Too many requests')(request, response, next_) : next_();
}

const discardBody: Handler = (request, _, next_) => {
  if (request.method === 'GET') return next_();
  request.resume().on('end', () => next_());
};

/** Distributes the requests to two middlewares in turn, as a balancer does to two processes. */
function alternate(...handlers: [Handler, Handler]): Handler {
  let count = 0;
  return (request, response, next_) => handlers[count++ % 2]!(request, response, next_);
}

const fetchWithoutStream: NonNullable<SseClientOptions['fetch']> = async (url, init) => {
  const { status, headers, body } = await fetch(url, init);
  await body?.cancel();
  const text = () => Promise.resolve('');
  return { status, headers, body: { on: () => {} }, text } as unknown as Response;
};

const answerOk: Handler = (_, response) => void response.end('the application');

/** The text of the warning about a rejected request. */
const rejected = (text: string) =>
  `a request to /sse was rejected with ${text}. Further ones with this code are not shown: to see all, listen for ` +
  '"clientError" of the middleware, or set DEBUG=sse-duplex:*';

describe('A mistake on the way to the channel is named', () => {
  it.each<[mistake: string, situation: Situation, texts: Texts]>([
    [
      'another path than that of the middleware',
      { path: '/events' },
      { error: `HTTP 404, ${FOREIGN}` },
    ],
    [
      "app.use('/sse', createSseMiddleware('/sse'))",
      { mount: (app, sse) => app.use('/sse', sse) },
      {
        error: `HTTP 404, ${FOREIGN}`,
        warning:
          "a client requests /sse, but createSseMiddleware('/sse') was mounted below /sse: the path is relative to " +
          'where it is mounted. Use app.use(sse)',
      },
    ],
    [
      'a login (401) in front',
      { mount: (app, sse) => app.use(answer(401, 'log in'), sse) },
      { error: `HTTP 401, ${FOREIGN}` },
    ],
    [
      'a firewall (403) in front',
      { mount: (app, sse) => app.use(answer(403, 'blocked'), sse) },
      { error: `HTTP 403, ${FOREIGN}` },
    ],
    [
      'a redirect to a login page in front',
      { mount: (app, sse) => app.use(answer(302, '', { Location: '/login' }), sse) },
      { error: `HTTP 302, ${FOREIGN}` },
    ],
    [
      'a route ahead that answers every path with a page',
      {
        mount: (app, sse) =>
          app.use(answer(200, '<h1>App</h1>', { 'Content-Type': 'text/html' }), sse),
      },
      { error: `HTTP 200, ${FOREIGN}` },
    ],
    [
      'a middleware ahead that throws',
      {
        mount: (app, sse) =>
          app.use(() => {
            throw new Error('a fault');
          }, sse),
      },
      { error: `HTTP 500, ${FOREIGN}` },
    ],
    [
      'a CSRF middleware ahead',
      { mount: (app, sse) => app.use(onlyPosts(answer(403, 'invalid csrf token')), sse) },
      { error: `cannot send: HTTP 403, ${FOREIGN}` },
    ],
    [
      'a rate limiter ahead that allows one request',
      { mount: (app, sse) => app.use(limitTo(1), sse) },
      { error: 'cannot send: HTTP 429, not from sse-duplex: check rate limits' },
    ],
    [
      'a body parser ahead whose limit is too small',
      { mount: (app, sse) => app.use(express.text({ limit: 10 }), sse) },
      { error: 'cannot send: HTTP 413, not from sse-duplex: check body size limits' },
    ],
    [
      'a middleware ahead that reads the body and leaves nothing',
      { mount: (app, sse) => app.use(discardBody, sse) },
      {
        error:
          'a middleware ahead of sse-duplex read the request body and left nothing: mount sse-duplex before it',
        close:
          'a middleware ahead of sse-duplex read the request body and left nothing: mount sse-duplex before it',
      },
    ],
    [
      'a framework that answers too (Koa without ctx.respond = false)',
      {
        mount: (app, sse) =>
          app.use((request, response) => {
            sse(request, response, () => {});
            response.status(404).end();
          }),
      },
      {
        error: `HTTP 404, ${FOREIGN}`,
        warning:
          'a request to /sse was answered by other code than the channel: do not send a response after the channel ' +
          'was called. In Koa set ctx.respond = false, in Fastify call reply.hijack(): see docs/frameworks.md',
      },
    ],
    [
      'a host that is missing in allowedHosts',
      { options: { allowedHosts: ['localhost:3000'] } },
      {
        close: 'host "HOST" is not allowed: if it should be, add it to the option "allowedHosts"',
        warning: rejected(
          '403 forbidden: host "HOST" is not allowed: if it should be, add it to the option "allowedHosts"',
        ),
      },
    ],
    [
      'an origin that is missing in allowedOrigins, or a proxy that changes Host',
      { client: { headers: { origin: 'https://app.example' } } },
      {
        close:
          'origin "https://app.example" is not allowed on host "HOST": add it to the option "allowedOrigins", or, ' +
          'behind a proxy, configure the proxy to pass the Host header (nginx: proxy_set_header Host $http_host)',
      },
    ],
    [
      'authorize returns a number',
      { options: { authorize: () => 7 as never } },
      {
        close: 'not authorized',
        warning: rejected(
          '403 forbidden: not authorized (TypeError: authorize must return a boolean or a string, not number)',
        ),
      },
    ],
    [
      'authorize returns nothing',
      { options: { authorize: () => undefined as never } },
      {
        close: 'not authorized',
        warning: rejected(
          '403 forbidden: not authorized (TypeError: authorize must return a boolean or a string, not undefined)',
        ),
      },
    ],
    [
      'authorize throws',
      { options: { authorize: (request) => (request as never)['session']['user'] } },
      {
        close: 'not authorized',
        warning: rejected(
          "403 forbidden: not authorized (TypeError: Cannot read properties of undefined (reading 'user'))",
        ),
      },
    ],
    [
      'a message before the "open" event that is larger than maxPayload',
      { options: { maxPayload: 100 }, message: 'x'.repeat(200) },
      {
        error:
          'the request body exceeds 100 bytes: send smaller messages, or raise the option "maxPayload"',
        close:
          'the request body exceeds 100 bytes: send smaller messages, or raise the option "maxPayload"',
      },
    ],
    [
      'several processes without a cluster or sticky routing',
      { mount: (app, sse) => app.use(alternate(sse, createSse({}))) },
      { sessionlost: NO_SUCH_SESSION },
    ],
    [
      'a fetch whose responses have no stream of the Web platform',
      { client: { fetch: fetchWithoutStream } },
      { close: 'the body of a response is not a ReadableStream: change the option "fetch"' },
    ],
  ])('%s', async (_, situation, texts) => {
    expect(await provoke(situation, texts)).toMatchObject(texts);
  });

  it('a port on which nothing listens', async () => {
    const port = await findPort();
    const client = openClient(`http://127.0.0.1:${port}/sse`);
    expect((await next(client, 'error')).message).toBe(
      `TypeError: fetch failed: connect ECONNREFUSED 127.0.0.1:${port}`,
    );
  });

  it('a header with a line break, in the words of the platform', async () => {
    const client = openClient('http://localhost:3000/sse', { headers: { authorization: 'a\nb' } });
    expect((await next(client, 'error')).message).toMatch(/^TypeError: .*a\nb/);
  });
});

describe('A mistake without a text', () => {
  it('two middlewares at one path: the first one serves all clients', async () => {
    const [first, second] = [createSse(), createSse()];
    const { origin } = await listen(express().use(first, second));
    await next(openClient(`${origin}/sse`), 'open');
    expect([first.stats().opened, second.stats().opened]).toEqual([1, 0]);
  });

  it.each<[string, (sse: SseMiddleware<unknown, unknown, IncomingMessage>) => Server]>([
    [
      'attach before the listener of the application is added: both receive their requests',
      (sse) => {
        const server = createServer();
        sse.attach(server);
        return server.on('request', express().use(answerOk));
      },
    ],
    [
      'attach after the listener of the application is added: both receive their requests',
      (sse) => {
        const server = createServer(express().use(answerOk));
        sse.attach(server);
        return server;
      },
    ],
  ])('%s', async (_, start) => {
    const sse = createSse<IncomingMessage>();
    const server = start(sse);
    const { origin } = await listen((request: IncomingMessage, response: ServerResponse) => {
      server.emit('request', request, response);
    });
    await next(openClient(`${origin}/sse`), 'open');
    expect(await (await fetch(`${origin}/page`)).text()).toBe('the application');
  });

  it('compression ahead: the channel is not compressed, and works', async () => {
    const sse = createSse();
    sse.on('connection', (connection) => connection.on('message', (text) => connection.send(text)));
    const { origin } = await listen(express().use(compression({ threshold: 0 }), sse));
    const client = openClient(`${origin}/sse`, { headers: { 'accept-encoding': 'gzip' } });
    const messages = messagesOf(client);
    client.send('echo');
    await waitFor(() => messages.length === 1);
  });
});
