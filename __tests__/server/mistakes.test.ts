import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { connect, createServer as createHttp2Server } from 'node:http2';
import type { Http2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import express from 'express';
import type { Request } from 'express';
import { createSseMiddleware } from '../../lib/index';
import type { SseOptions } from '../../lib/index';
import { addressOf, createSse, listen, openDuplex } from '../helpers/channel';
import { onTestFinished } from '../helpers/on-test-finished';
import { sendRequest } from '../helpers/http';
import { waitFor } from '../helpers/wait-for';

/** Records the warnings of this package. */
function recordWarnings(): string[] {
  const warnings: string[] = [];
  jest.spyOn(process, 'emitWarning').mockImplementation((text, type) => {
    if (type === ('SseDuplexWarning' as never)) warnings.push(String(text));
  });
  onTestFinished(() => jest.restoreAllMocks());
  return warnings;
}

async function openServer(options: SseOptions<Request> = {}, mount?: string) {
  const sse = createSse({ warnings: true, ...options });
  const app = express();
  if (mount === undefined) app.use(sse);
  else app.use(mount, sse);
  const { origin } = await listen(app);
  return { sse, origin, url: `${origin}/sse` };
}

/** Sends a GET over HTTP/2 without TLS, and returns the status of the response. */
async function sendHttp2Request(url: string): Promise<{ status: unknown }> {
  const { origin, pathname, search } = new URL(url);
  const session = connect(origin);
  onTestFinished(() => session.destroy());
  const [headers] = (await once(session.request({ ':path': pathname + search }), 'response')) as [
    Record<string, unknown>,
  ];
  return { status: headers[':status'] };
}

const badRequest = (url: string) => sendRequest(`${url}?sseClientId=`);

describe('A request that is rejected', () => {
  it('causes one process warning for each code, which says why', async () => {
    const warnings = recordWarnings();
    const { url } = await openServer();
    await badRequest(url);
    await badRequest(url);
    await sendRequest(url, { method: 'PUT' });
    expect(warnings).toEqual([
      expect.stringMatching(
        /^a request to \/sse was rejected with 400 bad-request: .*"sseClientId" must be .* "clientError"/,
      ),
      expect.stringContaining(
        'rejected with 405 method-not-allowed: method "PUT" is not supported',
      ),
    ]);
  });

  it('causes a warning with what authorize threw, or returned', async () => {
    for (const [authorize, because] of [
      [() => Promise.reject(new Error('no database')), '(Error: no database)'],
      [() => 7 as never, '(TypeError: authorize must return a boolean or a string, not number)'],
      [
        () => {
          throw 'text'; // eslint-disable-line @typescript-eslint/only-throw-error -- as applications may
        },
        "('text')",
      ],
    ] as [NonNullable<SseOptions['authorize']>, string][]) {
      const warnings = recordWarnings();
      const { url } = await openServer({ authorize });
      await sendRequest(addressOf(url, 'a'));
      expect(warnings).toEqual([
        expect.stringContaining(`403 forbidden: not authorized ${because}`),
      ]);
      jest.restoreAllMocks();
    }
  });

  it('causes a warning if authorize cannot decide, but none if the server has no capacity', async () => {
    const warnings = recordWarnings();
    const cause = Object.assign(new Error('no database'), { status: 500 });
    const { url } = await openServer({ authorize: () => Promise.reject(cause) });
    await sendRequest(addressOf(url, 'a'));
    const full = await openServer({ maxConnections: 1 });
    await openDuplex(full.url, 'a');
    const reply = await sendRequest(`${addressOf(full.url, 'b')}&sseProtocol=2`);
    expect(reply.status).toBe(503);
    expect(warnings).toEqual([
      expect.stringMatching(
        /503 service-unavailable: the request cannot be .*\(Error: no database\)/,
      ),
    ]);
  });

  it('causes none if somebody listens for clientError, or with warnings: false', async () => {
    const warnings = recordWarnings();
    const listening = await openServer();
    listening.sse.on('clientError', () => {});
    await badRequest(listening.url);
    await badRequest((await openServer({ warnings: false })).url);
    expect(warnings).toEqual([]);
  });

  it('causes none if the rejection is part of normal operation', async () => {
    const warnings = recordWarnings();
    const { url, sse } = await openServer({ drainTimeout: 10 });
    const client = await openDuplex(url);
    expect((await client.post({ token: 'other' })).status).toBe(404);
    await sse.close();
    expect((await sendRequest(`${addressOf(url, 'b')}&sseProtocol=2`)).status).toBe(503);
    expect(warnings).toEqual([]);
  });
});

describe('A middleware that is mounted at its own path', () => {
  it('causes a process warning when a client requests that path', async () => {
    const warnings = recordWarnings();
    const { url } = await openServer({}, '/sse');
    expect((await sendRequest(`${url}/page`)).status).toBe(404);
    expect(warnings).toEqual([]);
    for (let i = 0; i < 2; i++) expect((await sendRequest(addressOf(url, 'a'))).status).toBe(404);
    expect(warnings).toEqual([
      "a client requests /sse, but createSseMiddleware('/sse') was mounted below /sse: the path is relative to " +
        'where it is mounted. Use app.use(sse)',
    ]);
  });

  it('causes none where it serves the request', async () => {
    const warnings = recordWarnings();
    const { url, sse } = await openServer({}, '/sse');
    await openDuplex(`${url}/sse`);
    await waitFor(() => sse.connections.size === 1);
    expect(warnings).toEqual([]);
  });
});

describe('A framework that answers a request although it has called the middleware', () => {
  const HTTP1 = { create: () => createServer(), send: sendRequest, version: 'HTTP/1.1' };
  const HTTP2 = { create: () => createHttp2Server(), send: sendHttp2Request, version: 'HTTP/2' };

  it.each([
    { ...HTTP1, when: 'immediately', turns: 0 },
    { ...HTTP2, when: 'immediately', turns: 0 },
    { ...HTTP1, when: 'while the session is opened', turns: 1 },
    { ...HTTP2, when: 'while the session is opened', turns: 1 },
  ])(
    'causes one process warning that names the remedy: $version, $when',
    async ({ create, send, turns }) => {
      const warnings = recordWarnings();
      const sse = createSse<IncomingMessage>({ warnings: true });
      const errors: unknown[] = [];
      const server: Server | Http2Server = create();
      server.on('request', (request: IncomingMessage, response: ServerResponse) => {
        sse(request, response, (error) => errors.push(error));
        const answer = () => void response.writeHead(404).end();
        if (turns === 0) answer();
        else queueMicrotask(answer);
      });
      await once(server.listen(0, '127.0.0.1'), 'listening');
      onTestFinished(() => server.close());
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/sse`;
      for (const id of ['a', 'b']) {
        const { status } = await send(`${addressOf(url, id)}&sseProtocol=2`);
        expect(status).toBe(404);
      }
      expect(warnings).toEqual([expect.stringContaining('ctx.respond = false')]);
      expect(errors).toEqual([]);
      expect(sse.stats()).toMatchObject({ opened: 0, connections: 0 });
    },
  );
});

describe('A middleware', () => {
  it.each(['on', 'once', 'off'] as const)(
    'throws a TypeError for %s of an unknown event',
    (method) => {
      const sse = createSseMiddleware('/sse');
      expect(() => sse[method]('connect' as never, () => {})).toThrow(
        new TypeError('unknown event "connect": the events are connection and clientError'),
      );
    },
  );

  it.each<[string, unknown]>([
    ['an Express application', express()],
    ['an emitter', new EventEmitter()],
    ['nothing', undefined],
    ['a port', 3000],
  ])('throws a TypeError for attach with %s', (_, server) => {
    const sse = createSseMiddleware('/sse');
    expect(() => sse.attach(server as never)).toThrow(
      /^attach\(\) needs a server, not an application: pass/,
    );
  });

  it('attaches to a server', () => {
    const server = createServer();
    expect(() => createSseMiddleware('/sse').attach(server)).not.toThrow();
  });

  it.each(['http://localhost:3000', 'localhost/', '', 'a b', 'user@host'])(
    'throws a TypeError for the allowed host "%s"',
    (host) => {
      expect(() => createSseMiddleware('/sse', { allowedHosts: ['localhost', host] })).toThrow(
        `option "allowedHosts" has "${host}": a host is a name or an address`,
      );
    },
  );
});
