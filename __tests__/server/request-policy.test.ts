import type { Request } from 'express';
import type { SseOptions } from '../../lib/index';
import { resolveOptions } from '../../lib/server/options';
import { SseRequestError } from '../../lib/server/request-error';
import { RequestPolicy } from '../../lib/server/request-policy';
import { addressOf, openChannel, openDuplex, record } from '../helpers/channel';
import { sendRequest, openStream, post } from '../helpers/http';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { waitFor } from '../helpers/wait-for';

const FORBIDDEN = {
  code: 'forbidden',
  message: 'not authorized',
};

describe('the origin rule', () => {
  /** The status of a GET; the stream of an accepted one is cut. */
  async function statusOf(
    headers: Record<string, string>,
    options: SseOptions<Request> = {},
  ): Promise<number> {
    const { url } = await openChannel(options);
    const stream = await openStream(addressOf(url, 'a'), headers);
    stream.cut();
    return stream.status;
  }

  const SITES = [undefined, 'same-origin', 'none', 'same-site', 'cross-site'] as const;
  const APP = 'http://app.example';
  const FOREIGN = 'https://foreign.example';
  const ALLOWED = 'https://allowed.example';

  it.each<[string | undefined, Record<(typeof SITES)[number] & string, number>, number]>([
    // Origin; by Sec-Fetch-Site; without one
    [undefined, { 'same-origin': 200, none: 200, 'same-site': 403, 'cross-site': 403 }, 200],
    [APP, { 'same-origin': 200, none: 200, 'same-site': 403, 'cross-site': 403 }, 200],
    [
      'http://APP.example',
      { 'same-origin': 200, none: 200, 'same-site': 403, 'cross-site': 403 },
      200,
    ],
    [
      'https://app.example',
      { 'same-origin': 200, none: 200, 'same-site': 403, 'cross-site': 403 },
      200,
    ],
    [
      'http://app.example:81',
      { 'same-origin': 200, none: 200, 'same-site': 403, 'cross-site': 403 },
      403,
    ],
    [
      'http://app.example.evil',
      { 'same-origin': 200, none: 200, 'same-site': 403, 'cross-site': 403 },
      403,
    ],
    [FOREIGN, { 'same-origin': 200, none: 200, 'same-site': 403, 'cross-site': 403 }, 403],
    [ALLOWED, { 'same-origin': 200, none: 200, 'same-site': 200, 'cross-site': 200 }, 200],
    ['null', { 'same-origin': 200, none: 200, 'same-site': 403, 'cross-site': 403 }, 403],
    ['rubbish', { 'same-origin': 200, none: 200, 'same-site': 403, 'cross-site': 403 }, 403],
  ])(
    'on host app.example answers origin %s by site with %p, else with %i',
    async (origin, bySite, without) => {
      const { url } = await openChannel({ allowedOrigins: [ALLOWED] });
      for (const site of SITES) {
        const headers = {
          Host: 'app.example',
          ...(origin !== undefined && { Origin: origin }),
          ...(site !== undefined && { 'Sec-Fetch-Site': site }),
        };
        const stream = await openStream(addressOf(url, `a${site}`), headers);
        stream.cut();
        expect([site, stream.status]).toEqual([site, site === undefined ? without : bySite[site]]);
      }
    },
  );

  it.each([
    ['app.example', 'http://app.example', 200],
    ['app.example:80', 'http://app.example', 200],
    ['app.example:443', 'https://app.example', 200],
    ['app.example', 'https://app.example:8443', 403],
    ['app.example:8443', 'https://app.example:8443', 200],
    ['app.example:8443', 'https://app.example', 403],
    ['[::1]:3000', 'http://[::1]:3000', 200],
  ])('compares host %s with origin %s: %i', async (host, origin, status) => {
    expect(await statusOf({ Host: host, Origin: origin })).toBe(status);
  });

  it('says what to do to whoever is refused', async () => {
    const { sse, url } = await openChannel();
    const errors = record(sse, 'clientError');
    const reply = await sendRequest(addressOf(url, 'a'), {
      headers: { Origin: FOREIGN, Host: 'app.example' },
    });
    expect(reply.status).toBe(403);
    const { code, message } = JSON.parse(reply.text) as { code: string; message: string };
    expect(code).toBe('forbidden');
    expect(message).toContain(`origin "${FOREIGN}" is not allowed on host "app.example"`);
    expect(message).toContain('"allowedOrigins"');
    expect(errors).toEqual([[expect.any(SseRequestError), expect.anything()]]);
    expect((errors[0]![1] as Request).url).toContain('sseClientId=a');
  });

  it('lets an allowed page read what it needs, and another nothing', async () => {
    const { url } = await openChannel({ allowedOrigins: (origin) => origin === ALLOWED });
    const allowed = await openStream(addressOf(url, 'a'), { Origin: ALLOWED });
    expect(allowed.headers).toMatchObject({
      vary: 'Origin',
      'access-control-allow-origin': ALLOWED,
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': 'Sse-Protocol, Retry-After',
    });
    const refusal = await post(addressOf(url, 'b'), '1', { Origin: ALLOWED });
    expect([refusal.status, refusal.headers['access-control-allow-origin']]).toEqual([
      404,
      ALLOWED,
    ]);
    const foreign = await sendRequest(addressOf(url, 'c'), { headers: { Origin: FOREIGN } });
    expect(foreign.headers).toMatchObject({ 'cache-control': 'no-store' });
    expect(foreign.headers).not.toHaveProperty('access-control-allow-origin');
    const same = await openStream(addressOf(url, 'd'));
    expect(same.headers).not.toHaveProperty('access-control-allow-origin');
  });

  it('guards POSTs as well', async () => {
    const { url, connections } = await openChannel();
    const { post: send, token } = await openDuplex(url);
    const body = JSON.stringify({ token, id: 0, ack: 0, messages: ['x'] });
    const reply = await post(addressOf(url, 'a'), body, { Origin: FOREIGN });
    expect(reply.status).toBe(403);
    const messages = record(connections[0]!, 'message');
    await send({ messages: ['y'] });
    expect(messages).toEqual([['y']]);
  });

  it('never allows `null`, which sandboxed frames and files all share', async () => {
    expect(await statusOf({ Origin: 'null' }, { allowedOrigins: () => true })).toBe(403);
  });

  it('keeps what other middleware said in Vary', async () => {
    const { url } = await openChannel({ allowedOrigins: [ALLOWED] }, (app) => {
      app.use((_request, response, next) => {
        response.vary('Accept-Encoding');
        next();
      });
    });
    const { headers } = await openStream(addressOf(url, 'a'), { Origin: ALLOWED });
    expect(headers.vary).toBe('Accept-Encoding, Origin');
  });
});

describe('the preflight', () => {
  const preflight = (origin: string, pending?: string) => ({
    method: 'OPTIONS',
    headers: {
      Origin: origin,
      'Sec-Fetch-Site': 'cross-site',
      'Access-Control-Request-Method': 'POST',
      ...(pending !== undefined && { 'Access-Control-Request-Headers': pending }),
    },
  });
  const origins = ['https://allowed.example'];

  it('lets an allowed origin send the headers that it asks for', async () => {
    const authorize = jest.fn(() => false);
    const { url } = await openChannel({ allowedOrigins: origins, authorize });
    const reply = await sendRequest(
      addressOf(url, 'a'),
      preflight(origins[0]!, 'authorization, last-event-id'),
    );
    expect([reply.status, reply.text]).toEqual([204, '']);
    expect(reply.headers).toMatchObject({
      'access-control-allow-origin': origins[0],
      'access-control-allow-credentials': 'true',
      'access-control-allow-methods': 'GET, POST',
      'access-control-allow-headers': 'authorization, last-event-id',
      'access-control-max-age': '7200',
      'cache-control': 'no-store',
    });
    expect(authorize).not.toHaveBeenCalled(); // browsers send no credentials with it
  });

  it.each([undefined, 'a b', 'a,,b', 'a: b'])('allows no headers for %p', async (pending) => {
    const { url } = await openChannel({ allowedOrigins: origins });
    const reply = await sendRequest(addressOf(url, 'a'), preflight(origins[0]!, pending));
    expect([reply.status, reply.headers['access-control-allow-headers']]).toEqual([204, '']);
  });

  it('refuses another origin', async () => {
    const { url } = await openChannel({ allowedOrigins: origins });
    const reply = await sendRequest(addressOf(url, 'a'), preflight('https://foreign.example'));
    expect(reply.status).toBe(403);
    expect(reply.headers).not.toHaveProperty('access-control-allow-origin');
  });
});

describe('the allowed hosts', () => {
  it.each([
    ['app.example', 200],
    ['APP.example', 200],
    ['app.example:80', 403],
    ['rebound.example', 403],
  ])('decide on host %s: %i', async (host, status) => {
    const { url } = await openChannel({ allowedHosts: ['app.example'] });
    const stream = await openStream(addressOf(url, 'a'), { Host: host });
    stream.cut();
    expect(stream.status).toBe(status);
  });

  it('refuse the browser itself, which says same-origin of a rebound name', async () => {
    const { url } = await openChannel({ allowedHosts: ['app.example'] });
    const headers = { Host: 'rebound.example', 'Sec-Fetch-Site': 'same-origin' };
    expect((await sendRequest(addressOf(url, 'a'), { headers })).status).toBe(403);
  });

  it("read HTTP/2's :authority", () => {
    const policy = new RequestPolicy(resolveOptions({ allowedHosts: ['app.example'] }));
    const response = { getHeader: () => undefined, setHeader: () => {} } as never;
    const from = (authority: string) => ({ headers: { ':authority': authority } }) as never;
    expect(() => policy.checkOrigin(from('app.example'), response)).not.toThrow();
    expect(() => policy.checkOrigin(from('other.example'), response)).toThrow(SseRequestError);
    expect(() => policy.checkOrigin({ headers: {} } as never, response)).toThrow(SseRequestError);
  });
});

describe('authorize', () => {
  it.each<[string, unknown, number]>([
    ['true', () => true, 200],
    ['a principal', () => 'ann', 200],
    ['an empty principal', () => '', 200],
    ['a promise of true', () => Promise.resolve(true), 200],
    ['false', () => false, 403],
    ['a promise of false', () => Promise.resolve(false), 403],
    ['undefined', () => undefined, 403],
    ['null', () => null, 403],
    ['a number', () => 1, 403],
    ['an object', () => ({ id: 1 }), 403],
    [
      'a throw',
      () => {
        throw new Error('secret');
      },
      403,
    ],
    ['a rejection', () => Promise.reject(new Error('secret')), 403],
  ])('that answers %s', async (_, authorize, status) => {
    const { url, sse } = await openChannel({ authorize: authorize as () => boolean });
    const errors = record(sse, 'clientError');
    const stream = await openStream(addressOf(url, 'a'));
    expect(stream.status).toBe(status);
    expect(sse.connections.size).toBe(status === 200 ? 1 : 0);
    if (status === 200) return;
    await stream.ended;
    expect(JSON.parse(stream.text())).toEqual(FORBIDDEN);
    expect(errors).toHaveLength(1);
  });

  it('leaves what it threw to the clientError listener, as the cause', async () => {
    const cause = new Error('no database');
    const { url, sse } = await openChannel({ authorize: () => Promise.reject(cause) });
    const errors = record(sse, 'clientError');
    await sendRequest(addressOf(url, 'a'));
    expect((errors[0]![0] as Error).cause).toBe(cause);
  });

  it('is pending before each GET and each POST, with the request', async () => {
    const authorize = jest.fn((request: Request) => request.headers['x-user'] === 'ann');
    const { url } = await openChannel({ authorize });
    const { post: send } = await openDuplex(url, 'a', { 'x-user': 'ann' });
    expect((await send({ messages: [1] })).status).toBe(200);
    expect(authorize.mock.calls.map(([{ method }]) => method)).toEqual(['GET', 'POST']);
  });

  it('refuses a POST before its body is read', async () => {
    const { url } = await openChannel({ authorize: ({ method }) => method === 'GET' });
    await openDuplex(url);
    const reply = await post(addressOf(url, 'a'), 'not JSON');
    expect([reply.status, reply.json]).toEqual([403, FORBIDDEN]);
  });

  it('rejects with 403 if authorize does not settle within 5 s', async () => {
    const authorize = jest.fn(() => new Promise<boolean>(() => {}));
    const { url } = await openChannel({ authorize });
    useFakeTimeouts();
    let isAnswered = false;
    const reply = sendRequest(addressOf(url, 'a')).finally(() => (isAnswered = true));
    await waitFor(() => authorize.mock.calls.length > 0);
    jest.advanceTimersByTime(4_999);
    await sendRequest(url); // a whole exchange later
    expect(isAnswered).toBe(false);
    jest.advanceTimersByTime(1);
    expect((await reply).status).toBe(403);
  });

  it('leaves no timer behind', async () => {
    const policy = new RequestPolicy(resolveOptions({ authorize: () => Promise.resolve('ann') }));
    useFakeTimeouts();
    expect(await policy.authorize({} as never)).toBe('ann');
    expect(jest.getTimerCount()).toBe(0);
  });

  it('opens nothing for a client that left meanwhile', async () => {
    let answer!: (isAllowed: boolean) => void;
    const requests: Request[] = [];
    const { url, sse } = await openChannel({
      authorize: (request) => {
        requests.push(request);
        return new Promise<boolean>((resolve) => (answer = resolve));
      },
    });
    const controller = new AbortController();
    const left = fetch(addressOf(url, 'a'), { signal: controller.signal }).catch(() => 'left');
    await waitFor(() => requests.length > 0);
    const isGone = new Promise((resolve) => requests[0]!.on('close', resolve));
    controller.abort();
    await Promise.all([left, isGone]);
    answer(true);
    await turn();
    expect(sse.stats()).toMatchObject({ connections: 0, opened: 0 });
  });
});
