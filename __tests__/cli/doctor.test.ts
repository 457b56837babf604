import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener } from 'node:http';
import { createSecureServer } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import tls from 'node:tls';
import type { Finding } from '../../lib/cli/doctor';
import type { SseOptions } from '../../lib/index';
import { certificate } from '../helpers/certificate';
import { createSse } from '../helpers/channel';
import { onTestFinished } from '../helpers/on-test-finished';
import { findPort } from '../helpers/programs';
import { runCommand, startCommand } from './run-command';

/** Starts a server, and returns its origin. */
async function serve(listener: RequestListener, create = createServer): Promise<string> {
  const server = create(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    (server as Partial<typeof server>).closeAllConnections?.(); // HTTP/2 has none
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Starts the channel at `/sse`. Requests of which `ahead` returns true are not passed to it. */
async function openChannel(
  options: SseOptions = {},
  ahead: (...args: Parameters<RequestListener>) => boolean = () => false,
): Promise<string> {
  const sse = createSse({ drainTimeout: 0, ...options }, '/sse');
  onTestFinished(() => sse.close());
  const origin = await serve((request, response) => {
    if (ahead(request, response)) return;
    sse(request, response, () => response.writeHead(404).end());
  });
  return `http://${origin}/sse`;
}

async function examine(url: string, ...args: string[]) {
  const { code, out, err } = await runCommand('doctor', url, '--json', '--idle', '0', ...args);
  expect(err).toBe('');
  const findings = JSON.parse(out) as Finding[];
  const severe = findings.filter(
    ({ severity }) => severity === 'failure' || severity === 'warning',
  );
  return { code, findings, severe };
}

describe('The doctor', () => {
  it('finds nothing wrong with a server that is reached directly', async () => {
    const { code, findings } = await examine(await openChannel());
    expect(code).toBe(0);
    expect(findings.map(({ check, severity }) => `${check} ${severity}`)).toEqual([
      'server ok',
      'stream ok',
      'post ok',
      'binary ok',
      'connections note',
      'idle ok',
      'transport ok',
    ]);
  });

  it('leaves no session behind', async () => {
    const sse = createSse({}, '/sse');
    const ends: unknown[] = [];
    sse.on('connection', (connection) => {
      connection.on('message', (message) => ends.push(message));
      connection.on('close', (code) => ends.push(code));
    });
    const origin = await serve((request, response) => {
      sse(request, response, () => response.writeHead(404).end());
    });
    await examine(`http://${origin}/sse`);
    expect(ends).toEqual([1000]);
    expect(sse.connections.size).toBe(0);
  });

  it('prints a line for each finding, with its remedy', async () => {
    const { out, err } = await runCommand('doctor', await openChannel(), '--idle', '0');
    expect(err).toBe('');
    expect(out).toContain('ok       The server runs sse-duplex.\n');
    expect(out).toContain('\n         If your users open many tabs, serve HTTP/2 (over HTTPS).\n');
  });

  it('watches an idle stream, and reports that heartbeats arrive', async () => {
    const url = await openChannel({ heartbeatInterval: 20 });
    const { out, err } = await runCommand('doctor', url, '--idle', '0.3');
    expect(out).toContain('The stream stayed open for 0.3 s, and heartbeats arrived.');
    expect(err).toBe('Watching the idle stream for 0.3 s.\n');
  });

  it('passes headers to authorize, and quotes its rejection', async () => {
    const url = await openChannel({ authorize: ({ headers }) => headers['x-key'] === 'secret' });
    expect(await examine(url, '-H', 'x-key: secret')).toMatchObject({ code: 0, severe: [] });
    expect(await examine(url)).toMatchObject({
      code: 1,
      severe: [{ check: 'server', remedy: expect.stringContaining('with -H') as unknown }],
    });
  });

  it('reports a certificate that is not trusted', async () => {
    const create = (listener: RequestListener) =>
      createTlsServer({ key: certificate, cert: certificate, ALPNProtocols: ['h2'] }, listener);
    const origin = await serve((_, response) => response.end(), create as never);
    expect(await examine(`https://${origin}/sse`)).toMatchObject({
      code: 1,
      severe: [{ check: 'reachable', text: expect.stringContaining('is not accepted') as unknown }],
    });
  });

  it.each(['127.0.0.1', 'localhost'])('recognises HTTP/2 at %s', async (host) => {
    const { connect } = tls;
    const trust = (options: tls.ConnectionOptions) => connect({ ...options, ca: certificate });
    jest.spyOn(tls, 'connect').mockImplementation(trust as typeof connect);
    onTestFinished(() => jest.restoreAllMocks());
    const sse = createSse({ drainTimeout: 0 }, '/sse');
    const create = (listener: RequestListener) =>
      createSecureServer(
        { key: certificate, cert: certificate, allowHTTP1: true },
        listener as never,
      );
    const origin = await serve((request, response) => {
      sse(request, response, () => response.writeHead(404).end());
    }, create as never);
    const address = `https://${origin.replace('127.0.0.1', host)}/sse`;
    const { code, findings } = await examine(address);
    expect(code).toBe(0);
    expect(findings).toContainEqual({
      check: 'connections',
      severity: 'ok',
      text: 'Browsers use HTTP/2.',
    });
  });

  it('reports that clients poll if no event of a stream arrives', async () => {
    const url = await openChannel({}, ({ method, url: path }) => {
      return method === 'GET' && !path!.includes('ssePoll=1');
    });
    const { code, findings } = await examine(url);
    expect(code).toBe(0);
    expect(findings.map(({ check, severity }) => `${check} ${severity}`)).toEqual([
      'server ok',
      'stream warning',
      'post ok',
      'binary ok',
      'transport ok',
    ]);
    expect(findings.at(-1)!.text).toBe('Clients will poll (transport "poll").');
  });

  it.each<[string, (request: IncomingMessage) => boolean]>([
    ['a poll', ({ url: path }) => path!.includes('ssePoll=1')],
    ['a POST', ({ method }) => method === 'POST'],
  ])('reports that %s is rejected if no event of a stream arrives', async (_, isRejected) => {
    const url = await openChannel({}, (request, response) => {
      if (isRejected(request)) response.writeHead(503).end('busy');
      return isRejected(request) || !request.url!.includes('ssePoll=1');
    });
    const { code, findings } = await examine(url);
    expect(code).toBe(1);
    expect(findings.at(-1)!.text).toBe('HTTP 503, and not from sse-duplex: busy.');
  });

  it('ends early if it is interrupted while it watches the stream', async () => {
    const command = startCommand(['doctor', await openChannel(), '--idle', '3600']);
    await command.prints('Browsers use HTTP/1.1');
    command.interrupt();
    expect(await command.exitCode).toBe(0);
    expect(command.out).toContain('transport "stream"');
  });

  it('reports after what time an idle stream was cut', async () => {
    const url = await openChannel({}, ({ method }, response) => {
      if (method === 'GET') setTimeout(() => response.destroy(), 300);
      return false;
    });
    const { code, severe } = await examine(url, '--idle', '10');
    expect(code).toBe(0);
    expect(severe).toMatchObject([{ check: 'idle', severity: 'warning' }]);
    expect(severe[0]!.text).toMatch(/^The stream was cut after \d\.\d s\./);
    expect(severe[0]!.remedy).toContain('(15000 ms)');
  });

  it.each<[string, string, RequestListener]>([
    [
      'a page for every path',
      'a page (HTTP 200), not an event stream',
      (_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<h1>App</h1>'),
    ],
    [
      'JSON',
      'application/json (HTTP 200)',
      (_, response) => response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}'),
    ],
    [
      'a login redirect',
      'a redirect (302) to /login',
      (_, response) => response.writeHead(302, { Location: '/login' }).end(),
    ],
    [
      'a 404',
      'HTTP 404, and not from sse-duplex: Cannot GET /sse',
      (_, response) => response.writeHead(404).end('Cannot GET /sse'),
    ],
    [
      'Socket.IO',
      'HTTP 400, and not from sse-duplex: {"code":0,"message":"Transport unknown"}',
      (_, response) => response.writeHead(400).end('{"code":0,"message":"Transport unknown"}'),
    ],
    [
      'a gateway',
      'HTTP 502, and not from sse-duplex.',
      (_, response) =>
        response.writeHead(502, { 'Content-Type': 'text/html' }).end('<h1>Bad Gateway</h1>'),
    ],
    [
      'a redirect without an address',
      'a redirect (304) to an unknown address',
      (_, response) => response.writeHead(304).end(),
    ],
    ['nothing at all', 'of an unknown type (HTTP 200)', (_, response) => response.end()],
    [
      'an error of its own form',
      'HTTP 418, and not from sse-duplex: {"code":"teapot","message":"short"}',
      (_, response) => response.writeHead(418).end('{"code":"teapot","message":"short"}'),
    ],
    [
      'an error code of sse-duplex without a message',
      'HTTP 403, and not from sse-duplex',
      (_, response) => response.writeHead(403).end('{"code":"forbidden"}'),
    ],
    [
      'a long text',
      `HTTP 404, and not from sse-duplex: ${'x'.repeat(100)}.`,
      (_, response) => response.writeHead(404).end('x'.repeat(100_000)),
    ],
    [
      'a hello without a token',
      'not one of sse-duplex (its first event: hello)',
      (_, response) =>
        response
          .writeHead(200, { 'Content-Type': 'text/event-stream' })
          .end('event: hello\ndata: {}\n\n'),
    ],
    [
      'a firewall',
      'HTTP 403, and not from sse-duplex',
      (_, response) => response.writeHead(403).end(),
    ],
    [
      'other server-sent events',
      'not one of sse-duplex (its first event: tick)',
      (_, response) =>
        response
          .writeHead(200, { 'Content-Type': 'text/event-stream' })
          .end('event: tick\ndata: 1\n\n'),
    ],
    [
      'server-sent events with a hello of another kind',
      'its first event: hello',
      (_, response) =>
        response
          .writeHead(200, { 'Content-Type': 'text/event-stream' })
          .end('event: hello\ndata: x\n\n'),
    ],
    [
      'an empty stream',
      'its first event: none',
      (_, response) => response.writeHead(200, { 'Content-Type': 'text/event-stream' }).end(),
    ],
    [
      'nothing, and closes the connection',
      'failed: socket hang up (ECONNRESET)',
      (_, response) => response.destroy(),
    ],
  ])('recognises a server that sends %s', async (_, text, listener) => {
    const { code, severe } = await examine(`http://${await serve(listener)}/sse`);
    expect(code).toBe(1);
    expect(severe).toEqual([
      expect.objectContaining({
        severity: 'failure',
        text: expect.stringContaining(text) as unknown,
      }),
    ]);
    expect(severe[0]!.remedy).toBeTruthy();
  });

  it('recognises a rate limiter that rejects its POSTs', async () => {
    const url = await openChannel({}, ({ method }, response) => {
      if (method === 'POST') response.writeHead(429).end('Too many requests');
      return method === 'POST';
    });
    const { code, severe } = await examine(url);
    expect(code).toBe(1);
    expect(severe).toMatchObject([
      {
        check: 'post',
        text: 'HTTP 429, and not from sse-duplex: Too many requests.',
        remedy: expect.stringContaining('rate limiter') as unknown,
      },
    ]);
  });

  it('reports that nothing listens, or that a name has no address', async () => {
    const { severe } = await examine(`http://127.0.0.1:${await findPort()}/sse`);
    expect(severe[0]!.text).toMatch(/^Nothing listens at 127.0.0.1:\d+ \(ECONNREFUSED\)\.$/);
    const { code } = await runCommand('doctor', `http://127.0.0.1:${await findPort()}/sse`);
    expect(code).toBe(1);
    const unknown = await examine('http://name.invalid/sse');
    expect(unknown.severe[0]!.text).toContain('The name name.invalid has no address');
  });

  it('recognises POSTs that reach a process without the session', async () => {
    const other = createSse({}, '/sse');
    let posts = 0;
    const url = await openChannel({}, (request, response) => {
      const isElsewhere = request.method === 'POST' && posts++ === 1;
      if (isElsewhere) other(request, response, () => {});
      return isElsewhere;
    });
    const { code, severe } = await examine(url);
    expect(code).toBe(1);
    expect(severe).toEqual([expect.objectContaining({ check: 'post' })]);
    expect(severe[0]!.text).toContain('does not know the session');
  });

  it('recognises POSTs that something else rejects', async () => {
    const url = await openChannel({}, (request, response) => {
      const isPost = request.method === 'POST';
      if (isPost) response.writeHead(403).end('CSRF token missing');
      return isPost;
    });
    const { severe } = await examine(url);
    expect(severe).toMatchObject([
      { check: 'post', text: expect.stringContaining('CSRF') as unknown },
    ]);
  });

  /** Starts a server that sends nothing after `hello`. */
  async function openSilent(heartbeat: number, headers: object = {}): Promise<string> {
    const hello = { token: 't', heartbeat, ackAfter: { idle: 50 } };
    const origin = await serve((request, response) => {
      if (request.method === 'POST') return void response.end('{"received":0}');
      response.writeHead(200, { 'Content-Type': 'text/event-stream', ...headers });
      response.write(`event: hello\ndata: ${JSON.stringify(hello)}\n\n`);
    });
    return `http://${origin}/sse`;
  }

  it('warns of compression, and notes that binary messages are not accepted', async () => {
    const url = await openSilent(60_000, { 'Content-Encoding': 'identity' });
    const { findings, severe } = await examine(url);
    expect(severe).toMatchObject([{ check: 'stream' }]);
    expect(severe[0]!.text).toContain('is compressed (identity)');
    expect(findings).toContainEqual(expect.objectContaining({ check: 'binary', severity: 'note' }));
  });

  it('warns if no heartbeat arrives', async () => {
    const { out } = await runCommand('doctor', await openSilent(10), '--idle', '0.1');
    expect(out).toContain('No heartbeat arrived in 0.1 s, although one is sent every 10 ms.');
  });

  it('recognises that something else answers a POST with 200', async () => {
    const url = await openChannel({}, (request, response) => {
      const isPost = request.method === 'POST';
      if (isPost) response.writeHead(200, { 'Content-Type': 'text/html' }).end('<h1>Login</h1>');
      return isPost;
    });
    const { code, severe } = await examine(url);
    expect(code).toBe(1);
    expect(severe).toMatchObject([{ check: 'post', severity: 'failure' }]);
  });

  it('recognises a port that does not speak TLS', async () => {
    const url = await openChannel();
    const { severe } = await examine(url.replace('http:', 'https:'));
    expect(severe[0]!.text).toContain('does not speak TLS (EPROTO)');
  });

  it('reports that there was no response', async () => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'] });
    let requests = 0;
    const origin = await serve(() => requests++);
    const done = examine(`http://${origin}/sse`);
    for (const time of [3_000, 10_000]) {
      const before = requests;
      while (requests === before) await new Promise(setImmediate);
      jest.advanceTimersByTime(time);
    }
    const { code, severe } = await done;
    expect(code).toBe(1);
    expect(severe[0]!.text).toBe(
      'The request was accepted, but there was no response within 10 s.',
    );
  });
});
