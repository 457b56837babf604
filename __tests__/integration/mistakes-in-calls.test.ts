import express from 'express';
import type { Request } from 'express';
import { SseClient } from '../../lib/client/index';
import { createSseMiddleware } from '../../lib/index';
import type { SseOptions } from '../../lib/index';
import { redisCluster } from '../../lib/redis/index';
import { SseWebSocket } from '../../lib/websocket/index';
import { createSse, listen } from '../helpers/channel';
import type { Connection } from '../helpers/channel';
import { messagesOf, next, openClient } from '../helpers/client';
import { waitFor } from '../helpers/wait-for';

/**
 * Typical mistakes in calls of this package, and the exception that a developer sees for each. `docs/errors.md` has their
 * causes and remedies. For mistakes around the channel see `mistakes-around.test.ts`.
 */

const SERVER_OPTIONS =
  'reconnectTimeout, heartbeatInterval, maxPayload, bodyTimeout, highWaterMark, maxBufferedAmount, maxReplayBytes, ' +
  'reorderWindow, reorderTimeout, drainTimeout, reconnectJitter, maxConnections, authorize, allowedOrigins, ' +
  'allowedHosts, clientScript, subpaths, warnings, cluster';
const CLIENT_OPTIONS =
  'headers, credentials, fetch, debugKey, maxBufferedAmount, transport, renewSession, backoff';
const URL_ = 'http://localhost:3000/sse';

const cyclic: Record<string, unknown> = {};
cyclic.self = cyclic;

/** Returns an exception as a console shows it, up to the first line break. */
async function textOf(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    return String(error).split('\n')[0]!;
  }
  return 'no exception';
}

const create = (path: unknown, options: object = {}) =>
  createSseMiddleware(path as string, options);
const connect = (url: string, options: object = {}) => new SseClient(url, options);

type Row<Subject extends unknown[]> = [
  mistake: string,
  action: (...subject: Subject) => unknown,
  text: string,
];

describe('A mistake in the call of createSseMiddleware throws', () => {
  it.each<Row<[]>>([
    [
      "createSseMiddleware('sse')",
      () => create('sse'),
      'TypeError: path must be a plain path such as "/sse", without parameters or patterns, not "sse"',
    ],
    [
      "createSseMiddleware('/rooms/:id')",
      () => create('/rooms/:id'),
      'TypeError: path must be a plain path such as "/sse", without parameters or patterns, not "/rooms/:id"',
    ],
    [
      '{ heartbeat: 1000 }',
      () => create('/sse', { heartbeat: 1000 }),
      `TypeError: unknown option "heartbeat": the options are ${SERVER_OPTIONS}`,
    ],
    [
      "{ maxPayload: '1mb' }",
      () => create('/sse', { maxPayload: '1mb' }),
      'TypeError: option "maxPayload" must be a number, not string',
    ],
    [
      '{ heartbeatInterval: 0 }',
      () => create('/sse', { heartbeatInterval: 0 }),
      'RangeError: option "heartbeatInterval" must be from 10 to 214748364.7, not 0',
    ],
    [
      '{ authorize: true }',
      () => create('/sse', { authorize: true }),
      'TypeError: option "authorize" must be a function, not boolean',
    ],
    [
      "{ clientScript: 'no' }",
      () => create('/sse', { clientScript: 'no' }),
      'TypeError: option "clientScript" must be a boolean, not string',
    ],
    [
      "{ allowedOrigins: '*' }",
      () => create('/sse', { allowedOrigins: '*' }),
      'TypeError: option "allowedOrigins" must be an array of strings, or a function',
    ],
    [
      "{ allowedOrigins: ['https://app.example/'] }",
      () => create('/sse', { allowedOrigins: ['https://app.example/'] }),
      'TypeError: option "allowedOrigins" has "https://app.example/": an origin is a lower-case scheme, a host and a ' +
        'port only, as in "https://app.example.com", "http://localhost:8080" or "capacitor://localhost"',
    ],
    [
      "{ allowedHosts: ['http://localhost:3000'] }",
      () => create('/sse', { allowedHosts: ['http://localhost:3000'] }),
      'TypeError: option "allowedHosts" has "http://localhost:3000": a host is a name or an address, and the port if ' +
        'the URL has one, as in "app.example.com" or "localhost:3000"',
    ],
    [
      '{ cluster: the client of Redis }',
      () => create('/sse', { cluster: { sendCommand() {} } }),
      'TypeError: option "cluster" must be an engine, such as the result of redisCluster(client) of "sse-duplex/redis"',
    ],
    [
      "redisCluster('redis://localhost')",
      () => redisCluster('redis://localhost' as never),
      'TypeError: redisCluster() needs a client of "redis", "ioredis" or "iovalkey", such as createClient(): the ' +
        'argument has no duplicate() and no sendCommand() or call()',
    ],
    [
      "sse.on('connect')",
      () => create('/sse').on('connect' as never, () => {}),
      'TypeError: unknown event "connect": the events are connection and clientError',
    ],
    [
      'sse.attach(app)',
      () => create('/sse').attach(express()),
      'TypeError: attach() needs a server, not an application: pass the result of http.createServer(app), or of ' +
        'app.listen()',
    ],
    [
      'sse.session(7)',
      () => create('/sse').session(7 as never),
      'TypeError: a session id is a string, not number',
    ],
    [
      "sse.to('')",
      () => create('/sse').to(''),
      'TypeError: the name of a room must be a string with at least one character, not the empty string',
    ],
    [
      'sse.broadcast(undefined)',
      () => create('/sse').broadcast(undefined),
      'TypeError: cannot send: undefined has no JSON form',
    ],
    [
      'sse.close(1006)',
      () => create('/sse').close(1006),
      'RangeError: invalid close code 1006: use 1000, or 3000 to 4999 for your own codes',
    ],
  ])('%s', async (_, action, text) => {
    expect(await textOf(action)).toBe(text);
  });
});

describe('A mistake in the call of a client throws', () => {
  it.each<Row<[]>>([
    ["new SseClient('/sse') in Node", () => connect('/sse'), 'TypeError: Invalid URL'],
    ...['ws', 'wss', 'file', 'ftp'].map<Row<[]>>((scheme) => [
      `new SseClient('${scheme}://localhost/sse')`,
      () => connect(`${scheme}://localhost/sse`),
      `TypeError: the URL must begin with http: or https:, not ${scheme}:`,
    ]),
    [
      "new SseClient('http://user:secret@localhost/sse')",
      () => connect('http://user:secret@localhost/sse'),
      'TypeError: the URL contains a user name or a password: use the option "headers"',
    ],
    [
      '{ retries: 5 }',
      () => connect(URL_, { retries: 5 }),
      `TypeError: unknown option "retries": the options are ${CLIENT_OPTIONS}`,
    ],
    [
      '{ backoff: 1000 }',
      () => connect(URL_, { backoff: 1000 }),
      'TypeError: option "backoff" must be of type function, not number',
    ],
    [
      "{ headers: 'Authorization: Bearer token' }",
      () => connect(URL_, { headers: 'Authorization: Bearer token' }),
      'TypeError: option "headers" must be of type object or function, not string',
    ],
    [
      "{ transport: 'websocket' }",
      () => connect(URL_, { transport: 'websocket' }),
      'TypeError: option "transport" must be auto, stream or poll, not websocket',
    ],
    [
      '{ maxBufferedAmount: 0 }',
      () => connect(URL_, { maxBufferedAmount: 0 }),
      'RangeError: option "maxBufferedAmount" must be at least 1, not 0',
    ],
    [
      "new SseWebSocket('ftp://localhost/sse')",
      () => new SseWebSocket('ftp://localhost/sse'),
      'SyntaxError: invalid scheme ftp: use ws:, wss:, http: or https:',
    ],
  ])('%s', async (_, action, text) => {
    const shown = await textOf(action);
    expect(shown).toBe(text);
    expect(shown).not.toContain('secret');
  });
});

const UNSERIALISABLE: [name: string, message: unknown, text: string][] = [
  ['undefined', undefined, 'TypeError: cannot send: undefined has no JSON form'],
  ['a function', () => {}, 'TypeError: cannot send: function has no JSON form'],
  ['a symbol', Symbol('s'), 'TypeError: cannot send: symbol has no JSON form'],
  ['a BigInt', { id: 1n }, 'TypeError: Do not know how to serialize a BigInt'],
  ['a cycle', cyclic, 'TypeError: Converting circular structure to JSON'],
];
const INVALID_END: [name: string, code: number, reason: unknown, text: string][] = [
  ...[0, 999, 1004, 1006, 1015, 2999, 5000, NaN].map<[string, number, unknown, string]>((code) => [
    `the code ${code}`,
    code,
    '',
    `RangeError: invalid close code ${code}: use 1000, or 3000 to 4999 for your own codes`,
  ]),
  [
    'a reason of 124 bytes',
    1000,
    'é'.repeat(62),
    'RangeError: invalid close reason: 124 bytes of UTF-8 exceed the limit of 123',
  ],
  [
    'a reason that is no string',
    1000,
    7,
    'RangeError: invalid close reason: it must be a string, not number',
  ],
];

interface Opened {
  client: SseClient;
  connection: Connection;
}

/** Opens a session on a server whose middleware has the options. */
async function openSession(options: SseOptions<Request> = {}): Promise<Opened> {
  const sse = createSse(options);
  const connections: Connection[] = [];
  sse.on('connection', (connection) => connections.push(connection));
  const { origin } = await listen(express().use(sse));
  const client = openClient(`${origin}/sse`);
  await next(client, 'open');
  await waitFor(() => connections.length === 1);
  return { client, connection: connections[0]! };
}

describe('A mistake in the use of an open session throws, and the session stays open', () => {
  it.each<Row<[Opened]>>([
    ...UNSERIALISABLE.flatMap<Row<[Opened]>>(([name, message, text]) => [
      [`client.send with ${name}`, ({ client }) => client.send(message), text],
      [`connection.send with ${name}`, ({ connection }) => connection.send(message), text],
    ]),
    ...INVALID_END.flatMap<Row<[Opened]>>(([name, code, reason, text]) => [
      [`client.close with ${name}`, ({ client }) => client.close(code, reason as string), text],
      [
        `connection.close with ${name}`,
        ({ connection }) => connection.close(code, reason as string),
        text,
      ],
    ]),
    [
      'client.send with more than maxPayload',
      ({ client }) => client.send('x'.repeat(262_144)),
      "RangeError: cannot send: 262146 bytes exceed the server's maxPayload, 262144",
    ],
    [
      'connection.send with a Blob',
      ({ connection }) => connection.send(new Blob(['x'])),
      'TypeError: cannot send: a Blob is read asynchronously, send await blob.arrayBuffer()',
    ],
    [
      "connection.join('')",
      ({ connection }) => connection.join(''),
      'TypeError: the name of a room must be a string with at least one character, not the empty string',
    ],
  ])('%s', async (_, action, text) => {
    const opened = await openSession();
    expect(await textOf(() => action(opened))).toBe(text);
    const messages = messagesOf(opened.client);
    opened.connection.send('still open');
    await waitFor(() => messages.length === 1);
  });
});

test('send() after the close throws in a client, and returns false in a connection', async () => {
  const { client, connection } = await openSession();
  client.close();
  expect(await textOf(() => client.send('late'))).toBe(
    'Error: cannot send in readyState 2: use a new client',
  );
  await next(client, 'close');
  expect(await textOf(() => client.send('late'))).toBe(
    'Error: cannot send in readyState 3: use a new client',
  );
  expect(connection.send('late')).toBe(false);
  expect(await textOf(() => connection.sink.getWriter().write('late'))).toBe(
    'Error: the connection is closed: check readyState, or listen for "close"',
  );
});
