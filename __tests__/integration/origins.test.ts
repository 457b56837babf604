import type { OutgoingHttpHeaders } from 'node:http';
import type { Request } from 'express';
import type { SseOptions } from '../../lib/index';
import { addressOf, createSse, openChannel, openDuplex, record } from '../helpers/channel';
import { useFakeTimeouts } from '../helpers/fake-timeouts';
import { sendRequest, openStream, post } from '../helpers/http';
import { catchUncaught } from '../helpers/uncaught';
import { waitFor } from '../helpers/wait-for';
import { FRAMEWORKS, open } from './frameworks';

/** How the server treats a request: as same-origin, as allowed cross-origin, or as forbidden. */
type Outcome = 'same-origin' | 'allowed' | 'forbidden';

interface OriginHeaders {
  host?: string;
  origin?: string;
  site?: string;
  /** Other headers. */
  others?: OutgoingHttpHeaders;
}

const ALLOWED = 'https://listed.example:8443';
const allowing: SseOptions<Request> = { allowedOrigins: [ALLOWED] };
const decide = (result: () => unknown): SseOptions<Request> => ({
  allowedOrigins: result as () => boolean,
});
const hosts = (...allowedHosts: string[]): SseOptions<Request> => ({ allowedHosts });
const throwValue = (value: unknown) => {
  throw value;
};
const throwError = () => throwValue(new Error('from the application'));

// The host is app.example unless given, and no option is set unless given.
const CASES: [string, OriginHeaders, Outcome, SseOptions<Request>?][] = [
  ['no origin', {}, 'same-origin'],
  ['an empty origin', { origin: '' }, 'forbidden'],
  ['the same origin', { origin: 'http://app.example' }, 'same-origin'],
  ['the same origin in upper case', { origin: 'HTTP://APP.EXAMPLE' }, 'same-origin'],
  ['a host in upper case', { host: 'APP.EXAMPLE', origin: 'http://app.example' }, 'same-origin'],
  [
    'a default port in Host',
    { host: 'app.example:80', origin: 'http://app.example' },
    'same-origin',
  ],
  ['a default port in Origin', { origin: 'http://app.example:80' }, 'same-origin'],
  [
    'a default port of https',
    { host: 'app.example:443', origin: 'https://app.example' },
    'same-origin',
  ],
  [
    "the other scheme's default port",
    { host: 'app.example:80', origin: 'https://app.example' },
    'forbidden',
  ],
  ['another port', { origin: 'http://app.example:8080' }, 'forbidden'],
  ['a missing port', { host: 'app.example:8080', origin: 'http://app.example' }, 'forbidden'],
  // Behind a proxy that terminates TLS the scheme is unknown. Sec-Fetch-Site tells the two apart.
  ['another scheme', { origin: 'https://app.example' }, 'same-origin'],
  [
    'another scheme, cross-site',
    { origin: 'https://app.example', site: 'cross-site' },
    'forbidden',
  ],
  ['a subdomain', { origin: 'http://sub.app.example' }, 'forbidden'],
  ['a parent domain', { origin: 'http://example' }, 'forbidden'],
  ['a name that begins alike', { origin: 'http://app.example.evil.example' }, 'forbidden'],
  ['a name that ends alike', { origin: 'http://evilapp.example' }, 'forbidden'],
  ['a name before an @', { origin: 'http://app.example@evil.example' }, 'forbidden'],
  ['a name with a trailing dot', { origin: 'http://app.example.' }, 'forbidden'],
  ['an address instead of a name', { host: '127.0.0.1', origin: 'http://localhost' }, 'forbidden'],
  ['an IPv6 host', { host: '[::1]:3000', origin: 'http://[::1]:3000' }, 'same-origin'],
  ['an IPv6 host in full', { host: '[::1]', origin: 'http://[0:0:0:0:0:0:0:1]' }, 'same-origin'],
  ['another IPv6 host', { host: '[::1]', origin: 'http://[::2]' }, 'forbidden'],
  ['another IPv6 port', { host: '[::1]:3000', origin: 'http://[::1]:3001' }, 'forbidden'],
  ['null', { origin: 'null' }, 'forbidden'],
  ['null, to a function that returns true', { origin: 'null' }, 'forbidden', decide(() => true)],
  ['a file URL', { host: 'localhost', origin: 'file://' }, 'forbidden'],
  [
    'an app with a custom scheme',
    { host: 'localhost', origin: 'capacitor://localhost' },
    'forbidden',
  ],
  ['an invalid origin', { origin: 'rubbish' }, 'forbidden'],

  ['an allowed origin', { origin: ALLOWED }, 'allowed', allowing],
  ['an allowed origin, same-site', { origin: ALLOWED, site: 'same-site' }, 'allowed', allowing],
  ['an allowed origin, cross-site', { origin: ALLOWED, site: 'cross-site' }, 'allowed', allowing],
  ['an allowed origin in upper case', { origin: ALLOWED.toUpperCase() }, 'forbidden', allowing],
  ['an allowed origin with a path', { origin: `${ALLOWED}/` }, 'forbidden', allowing],
  ['an allowed host, by http', { origin: 'http://listed.example:8443' }, 'forbidden', allowing],
  ['an allowed host without its port', { origin: 'https://listed.example' }, 'forbidden', allowing],
  [
    'a subdomain of an allowed host',
    { origin: 'https://a.listed.example:8443' },
    'forbidden',
    allowing,
  ],
  [
    'an allowed origin and another',
    { origin: `${ALLOWED}, https://x.example` },
    'forbidden',
    allowing,
  ],
  ['an origin that is not allowed', { origin: 'https://other.example' }, 'forbidden', allowing],
  [
    'the same origin beside allowed ones',
    { origin: 'http://app.example' },
    'same-origin',
    allowing,
  ],

  ['a function that returns true', { origin: ALLOWED }, 'allowed', decide(() => true)],
  ['a function that returns false', { origin: ALLOWED }, 'forbidden', decide(() => false)],
  ['a function that throws', { origin: ALLOWED }, 'forbidden', decide(throwError)],
  [
    'a function that returns a promise',
    { origin: ALLOWED },
    'forbidden',
    decide(() => Promise.resolve(true)),
  ],
  ['a function that returns a string', { origin: ALLOWED }, 'forbidden', decide(() => 'yes')],

  ['Sec-Fetch-Site same-origin', { site: 'same-origin' }, 'same-origin'],
  ['Sec-Fetch-Site none', { site: 'none' }, 'same-origin'],
  ['Sec-Fetch-Site same-site', { site: 'same-site' }, 'forbidden'],
  ['Sec-Fetch-Site cross-site', { site: 'cross-site' }, 'forbidden'],
  ['Sec-Fetch-Site in upper case', { site: 'SAME-ORIGIN' }, 'forbidden'],
  ['two values of Sec-Fetch-Site', { site: 'same-origin, cross-site' }, 'forbidden'],
  ['an invalid Sec-Fetch-Site', { site: 'rubbish' }, 'forbidden'],
  ['the same origin, same-site', { origin: 'http://app.example', site: 'same-site' }, 'forbidden'],
  ['an origin behind nginx', { host: 'backend', origin: 'https://app.example' }, 'forbidden'],
  [
    'an origin behind nginx, same-origin',
    { host: 'backend', origin: 'https://app.example', site: 'same-origin' },
    'same-origin',
  ],
  [
    'a forwarded host, which any client may send',
    {
      host: 'backend',
      origin: 'http://evil.example',
      others: { 'X-Forwarded-Host': 'evil.example', Forwarded: 'host=evil.example' },
    },
    'forbidden',
  ],

  ['an allowed host', {}, 'same-origin', hosts('app.example')],
  ['an allowed host in upper case', { host: 'APP.EXAMPLE' }, 'same-origin', hosts('app.example')],
  ['an allowed host on a port', { host: 'app.example:80' }, 'forbidden', hosts('app.example')],
  ['an allowed host and port', { host: 'a:8080' }, 'same-origin', hosts('app.example', 'a:8080')],
  ['an allowed host, on no port', { host: 'a' }, 'forbidden', hosts('app.example', 'a:8080')],
  ['another host', { host: 'evil.example' }, 'forbidden', hosts('app.example')],
  [
    'a host rebound by DNS',
    { host: 'evil.example', origin: 'http://evil.example', site: 'same-origin' },
    'forbidden',
    hosts('app.example'),
  ],
  [
    'another host, with an allowed origin',
    { host: 'evil.example', origin: ALLOWED },
    'forbidden',
    { ...allowing, ...hosts('app.example') },
  ],
];

const STATUS = {
  GET: { 'same-origin': 200, allowed: 200, forbidden: 403 },
  POST: { 'same-origin': 200, allowed: 200, forbidden: 403 },
  OPTIONS: { 'same-origin': 204, allowed: 204, forbidden: 403 },
} as const;

describe.each(['GET', 'POST', 'OPTIONS'] as const)('A %s', (method) => {
  it.each(CASES)('with %s (%j) is treated as %s', async (_, given, outcome, options = {}) => {
    const { host = 'app.example', origin, site, others } = given;
    catchUncaught();
    const { url, connections } = await openChannel(options);
    await openStream(addressOf(url, 'a'), { Host: 'app.example' });
    const messages = record(connections[0]!, 'message');
    const headers = {
      Host: host,
      ...(origin !== undefined && { Origin: origin }),
      ...(site !== undefined && { 'Sec-Fetch-Site': site }),
      ...others,
    };
    const reply =
      method === 'GET'
        ? await openStream(addressOf(url, 'b'), headers)
        : await sendRequest(addressOf(url, 'a', 0), { method, headers, body: '1' });

    expect(reply.status).toBe(STATUS[method][outcome]);
    expect(messages).toHaveLength(method === 'POST' && outcome !== 'forbidden' ? 1 : 0);
    expect(connections).toHaveLength(method === 'GET' && outcome !== 'forbidden' ? 2 : 1);

    expect(reply.headers['cache-control']).toContain('no-store');
    expect(reply.headers.vary).toBe(outcome === 'allowed' ? 'Origin' : undefined);
    const { 'access-control-allow-origin': allowed, ...rest } = reply.headers;
    expect(allowed).toBe(outcome === 'allowed' ? ALLOWED : undefined);
    expect(rest['access-control-allow-credentials']).toBe(
      outcome === 'allowed' ? 'true' : undefined,
    );
    if (origin) expect(JSON.stringify(rest)).not.toContain(origin);
  });
});

describe('The message of a 403', () => {
  it.each<[string, OriginHeaders, SseOptions<Request>, string]>([
    ['an origin', { origin: ALLOWED }, {}, '"allowedOrigins"'],
    ['an origin behind nginx', { host: 'backend', origin: ALLOWED }, {}, 'Host $http_host'],
    ['a host', { host: 'evil.example' }, hosts('app.example'), '"allowedHosts"'],
  ])('for %s names the option or header to set', async (_, { host, origin }, options, what) => {
    const { url } = await openChannel(options);
    const headers = { Host: host ?? 'app.example', ...(origin && { Origin: origin }) };
    const { json } = await post(addressOf(url, 'a'), '1', headers);
    expect(json).toEqual({
      code: 'forbidden',
      message: expect.stringContaining(what) as string,
    });
  });
});

describe("HTTP/2's :authority", () => {
  it.each([
    ['app.example', 'https://app.example', 200],
    ['app.example:443', 'https://app.example', 200],
    ['APP.example', undefined, 200],
    ['app.example', 'https://evil.example', 403],
    ['evil.example', 'https://evil.example', 403],
    ['evil.example', undefined, 403],
  ])('%s with origin %s gets %i', async (authority, origin, status) => {
    const sse = createSse({
      allowedHosts: ['app.example', 'app.example:443'],
    });
    const send = await open(FRAMEWORKS['node:http2']!, [sse]);
    const headers = { ':authority': authority, ...(origin && { origin }) };
    const reply = await send('/sse?sseClientId=a', { headers });
    expect(reply.status).toBe(status);
    expect(reply.headers['cache-control']).toContain('no-store');
  });
});

describe("When `authorize` changes within ann's session, it", () => {
  const never = () => new Promise(() => {});
  const RESULTS: [string, () => unknown, number][] = [
    ['returns ann again', () => 'ann', 200],
    ['resolves with ann', () => Promise.resolve('ann'), 200],
    ['returns bob', () => 'bob', 404],
    ['returns true', () => true, 404],
    ['returns an empty string', () => '', 404],
    ['returns false', () => false, 403],
    ['returns undefined', () => undefined, 403],
    ['returns null', () => null, 403],
    ['returns 1', () => 1, 403],
    ['returns an object', () => ({ user: 'ann' }), 403],
    ['returns a String object', () => Object('ann') as unknown, 403],
    ['returns an array', () => ['ann'], 403],
    ['returns a function', () => () => 'ann', 403],
    ['throws', throwError, 403],
    ['throws ann', () => throwValue('ann'), 403],
    ['rejects', () => Promise.reject(new Error('from the application')), 403],
    ['returns a thenable that throws', () => ({ then: throwError }), 403],
  ];

  const HANGING: [string, () => unknown][] = [
    ['returns a promise that does not settle', never],
    ['returns a thenable that does not settle', () => ({ then: never })],
  ];

  const REQUESTS: [string, (all: Opened) => Promise<{ status: number }>][] = [
    ['a POST', ({ duplex }) => duplex.post({ messages: ['x'] })],
    ['a GET that resumes', ({ duplex }) => duplex.resume(0)],
    ['a Dart-dialect POST', ({ url }) => post(addressOf(url, 'dart', 0), '"x"')],
  ];

  type Opened = Awaited<ReturnType<typeof openAsAnn>>;

  /** Opens a session in each dialect. */
  async function openAsAnn() {
    let result: () => unknown = () => 'ann';
    const authorize = jest.fn(() => result() as string);
    const channel = await openChannel({ authorize });
    const duplex = await openDuplex(channel.url);
    const dart = await openStream(addressOf(channel.url, 'dart'));
    return {
      ...channel,
      authorize,
      duplex,
      dart,
      authorizeWith: (next: () => unknown) => (result = next),
      messages: channel.connections.map((connection) => record(connection, 'message')),
      disconnects: channel.connections.map((connection) => record(connection, 'disconnect')),
    };
  }

  function expectUnaffected({ connections, messages, disconnects }: Opened): void {
    for (const each of [...messages, ...disconnects]) expect(each).toEqual([]);
    for (const each of connections) expect(each).toMatchObject({ readyState: 1, connected: true });
  }

  describe.each(REQUESTS)('before %s', (_request, send) => {
    it.each(RESULTS)('%s', async (_name, result, status) => {
      const all = await openAsAnn();
      all.authorizeWith(result);
      expect((await send(all)).status).toBe(status);
      if (status !== 200) expectUnaffected(all);
    });

    it.each(HANGING)('%s within the time limit', async (_name, result) => {
      const all = await openAsAnn();
      all.authorizeWith(result);
      const calls = all.authorize.mock.calls.length;
      useFakeTimeouts();
      const reply = send(all);
      await waitFor(() => all.authorize.mock.calls.length > calls);
      jest.advanceTimersByTime(10_000);
      expect((await reply).status).toBe(503);
      expectUnaffected(all);
    });
  });

  it('resolves after the time limit, and the message is not delivered', async () => {
    const { authorizeWith, authorize, duplex, messages } = await openAsAnn();
    let resolvePrincipal = (_principal: string) => {};
    authorizeWith(() => new Promise<string>((resolve) => (resolvePrincipal = resolve)));
    useFakeTimeouts();
    const calls = authorize.mock.calls.length;
    const reply = duplex.post({ messages: ['x'] });
    await waitFor(() => authorize.mock.calls.length > calls);
    jest.advanceTimersByTime(10_000);
    expect((await reply).status).toBe(503);
    resolvePrincipal('ann');
    authorizeWith(() => 'ann');
    expect((await duplex.post()).json).toEqual({ received: 0 });
    expect(messages[0]).toEqual([]);
  });

  it('returns false from then on: POSTs and resumptions get 403, and `close` ends the stream', async () => {
    const { authorizeWith, duplex, dart, connections } = await openAsAnn();
    const closes = connections.map((connection) => record(connection, 'close'));
    authorizeWith(() => false);
    expect((await duplex.post({ messages: ['x'] })).status).toBe(403);
    for (const connection of connections) connection.close(4401, 'signed out');
    const end = { code: 4401, reason: 'signed out' };
    expect(await duplex.stream.takeData()).toEqual(end);
    expect([await duplex.stream.ended, await dart.ended]).toEqual(['ended', 'ended']);
    expect((await duplex.resume(0)).status).toBe(403);
    expect((await duplex.post({ close: end })).status).toBe(403);
    await waitFor(() => closes[1]!.length > 0);
    expect(closes[1]).toMatchObject([[4401, 'signed out', {}]]);
  });
});
