import type { OutgoingHttpHeaders } from 'node:http';
import type { Request } from 'express';
import type { SseOptions } from '../../lib/index';
import { addressOf, createSse, openChannel, openDuplex, record } from '../helpers/channel';
import { useFakeTimeouts } from '../helpers/fake-timeouts';
import { sendRequest, openStream, post } from '../helpers/http';
import { catchUncaught } from '../helpers/uncaught';
import { waitFor } from '../helpers/wait-for';
import { FRAMEWORKS, open } from './frameworks';

/** What a request is taken for: the page's own, that of a listed origin, or one to be refused. */
type Taken = 'own' | 'listed' | 'refused';

interface PendingRequest {
  host?: string;
  origin?: string;
  site?: string;
  /** Other headers. */
  more?: OutgoingHttpHeaders;
}

const LISTED = 'https://listed.example:8443';
const listed: SseOptions<Request> = { allowedOrigins: [LISTED] };
const decide = (answer: () => unknown): SseOptions<Request> => ({
  allowedOrigins: answer as () => boolean,
});
const hosts = (...allowedHosts: string[]): SseOptions<Request> => ({ allowedHosts });
const fails = () => {
  throw new Error('from the application');
};

// On host app.example, where none is said; no origin is listed, where no option is said.
const CELLS: [string, PendingRequest, Taken, SseOptions<Request>?][] = [
  ['no origin', {}, 'own'],
  ['an empty origin', { origin: '' }, 'refused'],
  ['the same origin', { origin: 'http://app.example' }, 'own'],
  ['the same origin in upper case', { origin: 'HTTP://APP.EXAMPLE' }, 'own'],
  ['a host in upper case', { host: 'APP.EXAMPLE', origin: 'http://app.example' }, 'own'],
  ['a default port in Host', { host: 'app.example:80', origin: 'http://app.example' }, 'own'],
  ['a default port in Origin', { origin: 'http://app.example:80' }, 'own'],
  ['a default port of https', { host: 'app.example:443', origin: 'https://app.example' }, 'own'],
  [
    "the other scheme's default port",
    { host: 'app.example:80', origin: 'https://app.example' },
    'refused',
  ],
  ['another port', { origin: 'http://app.example:8080' }, 'refused'],
  ['no port', { host: 'app.example:8080', origin: 'http://app.example' }, 'refused'],
  // Behind a proxy that ends TLS the scheme is not known; the browser itself tells the two apart.
  ['another scheme', { origin: 'https://app.example' }, 'own'],
  ['another scheme, told', { origin: 'https://app.example', site: 'cross-site' }, 'refused'],
  ['a subdomain', { origin: 'http://sub.app.example' }, 'refused'],
  ['a parent domain', { origin: 'http://example' }, 'refused'],
  ['a name that begins alike', { origin: 'http://app.example.evil.example' }, 'refused'],
  ['a name that ends alike', { origin: 'http://evilapp.example' }, 'refused'],
  ['a name before an @', { origin: 'http://app.example@evil.example' }, 'refused'],
  ['a name with a last dot', { origin: 'http://app.example.' }, 'refused'],
  ['an address for a name', { host: '127.0.0.1', origin: 'http://localhost' }, 'refused'],
  ['an IPv6 host', { host: '[::1]:3000', origin: 'http://[::1]:3000' }, 'own'],
  ['an IPv6 host in full', { host: '[::1]', origin: 'http://[0:0:0:0:0:0:0:1]' }, 'own'],
  ['another IPv6 host', { host: '[::1]', origin: 'http://[::2]' }, 'refused'],
  ['another IPv6 port', { host: '[::1]:3000', origin: 'http://[::1]:3001' }, 'refused'],
  ['null', { origin: 'null' }, 'refused'],
  ['null, to a function that says yes', { origin: 'null' }, 'refused', decide(() => true)],
  ['a file', { host: 'localhost', origin: 'file://' }, 'refused'],
  ['an app of its own scheme', { host: 'localhost', origin: 'capacitor://localhost' }, 'refused'],
  ['rubbish', { origin: 'rubbish' }, 'refused'],

  ['a listed origin', { origin: LISTED }, 'listed', listed],
  ['a listed origin, same-site', { origin: LISTED, site: 'same-site' }, 'listed', listed],
  ['a listed origin, cross-site', { origin: LISTED, site: 'cross-site' }, 'listed', listed],
  ['a listed origin in upper case', { origin: LISTED.toUpperCase() }, 'refused', listed],
  ['a listed origin with a path', { origin: `${LISTED}/` }, 'refused', listed],
  ['a listed name, by http', { origin: 'http://listed.example:8443' }, 'refused', listed],
  ['a listed name, on no port', { origin: 'https://listed.example' }, 'refused', listed],
  ["a listed name's subdomain", { origin: 'https://a.listed.example:8443' }, 'refused', listed],
  ['a listed origin and another', { origin: `${LISTED}, https://x.example` }, 'refused', listed],
  ['an unlisted origin', { origin: 'https://other.example' }, 'refused', listed],
  ['the same origin beside a list', { origin: 'http://app.example' }, 'own', listed],

  ['a function that says yes', { origin: LISTED }, 'listed', decide(() => true)],
  ['a function that says no', { origin: LISTED }, 'refused', decide(() => false)],
  ['a function that throws', { origin: LISTED }, 'refused', decide(fails)],
  ['a function of a promise', { origin: LISTED }, 'refused', decide(() => Promise.resolve(true))],
  ['a function of something', { origin: LISTED }, 'refused', decide(() => 'yes')],

  ['same-origin', { site: 'same-origin' }, 'own'],
  ['none', { site: 'none' }, 'own'],
  ['same-site', { site: 'same-site' }, 'refused'],
  ['cross-site', { site: 'cross-site' }, 'refused'],
  ['same-origin in upper case', { site: 'SAME-ORIGIN' }, 'refused'],
  ['same-origin and another', { site: 'same-origin, cross-site' }, 'refused'],
  ['a site that is none', { site: 'rubbish' }, 'refused'],
  ['the same origin, same-site', { origin: 'http://app.example', site: 'same-site' }, 'refused'],
  ['an origin behind nginx', { host: 'backend', origin: 'https://app.example' }, 'refused'],
  [
    'an origin behind nginx, same-origin',
    { host: 'backend', origin: 'https://app.example', site: 'same-origin' },
    'own',
  ],
  [
    'a forwarded host, which anybody may say',
    {
      host: 'backend',
      origin: 'http://evil.example',
      more: { 'X-Forwarded-Host': 'evil.example', Forwarded: 'host=evil.example' },
    },
    'refused',
  ],

  ['an allowed host', {}, 'own', hosts('app.example')],
  ['an allowed host in upper case', { host: 'APP.EXAMPLE' }, 'own', hosts('app.example')],
  ['an allowed host on a port', { host: 'app.example:80' }, 'refused', hosts('app.example')],
  ['an allowed host and port', { host: 'a:8080' }, 'own', hosts('app.example', 'a:8080')],
  ['an allowed host, on no port', { host: 'a' }, 'refused', hosts('app.example', 'a:8080')],
  ['another host', { host: 'evil.example' }, 'refused', hosts('app.example')],
  [
    'a rebound host',
    { host: 'evil.example', origin: 'http://evil.example', site: 'same-origin' },
    'refused',
    hosts('app.example'),
  ],
  [
    'another host, of a listed origin',
    { host: 'evil.example', origin: LISTED },
    'refused',
    { ...listed, ...hosts('app.example') },
  ],
];

const STATUS = {
  GET: { own: 200, listed: 200, refused: 403 },
  POST: { own: 200, listed: 200, refused: 403 },
  OPTIONS: { own: 204, listed: 204, refused: 403 },
} as const;

describe.each(['GET', 'POST', 'OPTIONS'] as const)('A %s', (method) => {
  it.each(CELLS)('of %s: %j is %s', async (_, pending, taken, options = {}) => {
    const { host = 'app.example', origin, site, more } = pending;
    catchUncaught();
    const { url, connections } = await openChannel(options);
    await openStream(addressOf(url, 'a'), { Host: 'app.example' });
    const messages = record(connections[0]!, 'message');
    const headers = {
      Host: host,
      ...(origin !== undefined && { Origin: origin }),
      ...(site !== undefined && { 'Sec-Fetch-Site': site }),
      ...more,
    };
    const reply =
      method === 'GET'
        ? await openStream(addressOf(url, 'b'), headers)
        : await sendRequest(addressOf(url, 'a', 0), { method, headers, body: '1' });

    expect(reply.status).toBe(STATUS[method][taken]);
    expect(messages).toHaveLength(method === 'POST' && taken !== 'refused' ? 1 : 0);
    expect(connections).toHaveLength(method === 'GET' && taken !== 'refused' ? 2 : 1);

    // What no cache keeps needs no Vary.
    expect(reply.headers['cache-control']).toContain('no-store');
    expect(reply.headers.vary).toBe(taken === 'listed' ? 'Origin' : undefined);
    const { 'access-control-allow-origin': allowed, ...rest } = reply.headers;
    expect(allowed).toBe(taken === 'listed' ? LISTED : undefined);
    expect(rest['access-control-allow-credentials']).toBe(taken === 'listed' ? 'true' : undefined);
    if (origin) expect(JSON.stringify(rest)).not.toContain(origin);
  });
});

describe('A refusal', () => {
  it.each<[string, PendingRequest, SseOptions<Request>, string]>([
    ['an origin', { origin: LISTED }, {}, '"allowedOrigins"'],
    ['an origin behind nginx', { host: 'backend', origin: LISTED }, {}, 'Host $http_host'],
    ['a host', { host: 'evil.example' }, hosts('app.example'), '"allowedHosts"'],
  ])('of %s says what to set', async (_, { host, origin }, options, what) => {
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
  ])('%s with origin %s is answered %i', async (authority, origin, status) => {
    const sse = createSse({
      allowedHosts: ['app.example', 'app.example:443'],
    });
    const speak = await open(FRAMEWORKS['node:http2']!, [sse]);
    const headers = { ':authority': authority, ...(origin && { origin }) };
    const reply = await speak('/sse?sseClientId=a', { headers });
    expect(reply.status).toBe(status);
    expect(reply.headers['cache-control']).toContain('no-store');
  });
});

describe("authorize, within ann's session,", () => {
  const never = () => new Promise(() => {});
  const ANSWERS: [string, () => unknown, number][] = [
    ['says ann again', () => 'ann', 200],
    ['says ann by a promise', () => Promise.resolve('ann'), 200],
    ['says bob', () => 'bob', 404],
    ['says nobody in particular', () => true, 404],
    ['says an empty name', () => '', 404],
    ['says no', () => false, 403],
    ['says nothing', () => undefined, 403],
    ['says null', () => null, 403],
    ['says 1', () => 1, 403],
    ['says ann in an object', () => ({ user: 'ann' }), 403],
    ['says ann in a String', () => Object('ann') as unknown, 403],
    ['says ann in a list', () => ['ann'], 403],
    ['says a function', () => () => 'ann', 403],
    ['throws', fails, 403],
    ['throws ann', () => fails.call('ann'), 403],
    ['rejects', () => Promise.reject(new Error('from the application')), 403],
    ['says what throws when it is awaited', () => ({ then: fails }), 403],
  ];

  const SILENT: [string, () => unknown][] = [
    ['says nothing', never],
    ['says what never settles', () => ({ then: never })],
  ];

  const REQUESTS: [string, (all: Opened) => Promise<{ status: number }>][] = [
    ['a POST', ({ duplex }) => duplex.post({ messages: ['x'] })],
    ['a resumption', ({ duplex }) => duplex.resume(0)],
    ['a POST of the base dialect', ({ url }) => post(addressOf(url, 'base', 0), '"x"')],
  ];

  type Opened = Awaited<ReturnType<typeof openAsAnn>>;

  /** A session in each dialect. */
  async function openAsAnn() {
    let answer: () => unknown = () => 'ann';
    const authorize = jest.fn(() => answer() as string);
    const channel = await openChannel({ authorize });
    const duplex = await openDuplex(channel.url);
    const base = await openStream(addressOf(channel.url, 'base'));
    return {
      ...channel,
      authorize,
      duplex,
      base,
      answerWith: (next: () => unknown) => (answer = next),
      messages: channel.connections.map((connection) => record(connection, 'message')),
      disconnects: channel.connections.map((connection) => record(connection, 'disconnect')),
    };
  }

  function expectUndisturbed({ connections, messages, disconnects }: Opened): void {
    for (const each of [...messages, ...disconnects]) expect(each).toEqual([]);
    for (const each of connections) expect(each).toMatchObject({ readyState: 1, connected: true });
  }

  describe.each(REQUESTS)('pending before %s', (_request, send) => {
    it.each(ANSWERS)('%s', async (_answer, answer, status) => {
      const all = await openAsAnn();
      all.answerWith(answer);
      expect((await send(all)).status).toBe(status);
      if (status !== 200) expectUndisturbed(all);
    });

    it.each(SILENT)('%s for 10 s', async (_answer, answer) => {
      const all = await openAsAnn();
      all.answerWith(answer);
      const calls = all.authorize.mock.calls.length;
      useFakeTimeouts();
      const reply = send(all);
      await waitFor(() => all.authorize.mock.calls.length > calls);
      jest.advanceTimersByTime(10_000);
      expect((await reply).status).toBe(403);
      expectUndisturbed(all);
    });
  });

  it('says yes too late: nothing is taken', async () => {
    const { answerWith, authorize, duplex, messages } = await openAsAnn();
    let answer = (_principal: string) => {};
    answerWith(() => new Promise<string>((resolve) => (answer = resolve)));
    useFakeTimeouts();
    const calls = authorize.mock.calls.length;
    const reply = duplex.post({ messages: ['x'] });
    await waitFor(() => authorize.mock.calls.length > calls);
    jest.advanceTimersByTime(10_000);
    expect((await reply).status).toBe(403);
    answer('ann');
    answerWith(() => 'ann');
    expect((await duplex.post()).json).toEqual({ received: 0 });
    expect(messages[0]).toEqual([]);
  });

  it('says no from now on: POSTs and resumptions are refused, and `close` ends the stream', async () => {
    const { answerWith, duplex, base, connections } = await openAsAnn();
    const closes = connections.map((connection) => record(connection, 'close'));
    answerWith(() => false);
    expect((await duplex.post({ messages: ['x'] })).status).toBe(403);
    for (const connection of connections) connection.close(4401, 'signed out');
    const end = { code: 4401, reason: 'signed out' };
    expect(await duplex.stream.takeData()).toEqual(end);
    expect([await duplex.stream.ended, await base.ended]).toEqual(['ended', 'ended']);
    expect((await duplex.resume(0)).status).toBe(403);
    expect((await duplex.post({ close: end })).status).toBe(403);
    await waitFor(() => closes[1]!.length > 0);
    expect(closes[1]).toMatchObject([[4401, 'signed out', {}]]);
  });
});
