import type { Request } from 'express';
import type { SseOptions } from '../../lib/index';
import { resolveOptions } from '../../lib/server/options';
import { SseRequestError } from '../../lib/server/request-error';
import { RequestPolicy } from '../../lib/server/request-policy';
import { addressOf, openChannel, openDuplex, record } from '../helpers/channel';
import { eventsOf, next, openClient } from '../helpers/client';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { openStream, post, sendRequest } from '../helpers/http';
import { waitFor } from '../helpers/wait-for';

const FORBIDDEN = {
  code: 'forbidden',
  message: 'not authorized',
};

describe('RequestPolicy', () => {
  describe('origin', () => {
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
      'decides about origin %s on host app.example with Sec-Fetch-Site by %p, and without it as %i',
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
          expect([site, stream.status]).toEqual([
            site,
            site === undefined ? without : bySite[site],
          ]);
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

    it('explains a rejection and names the option', async () => {
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

    it('sends CORS headers to an allowed origin, and none to others', async () => {
      const { url } = await openChannel({ allowedOrigins: (origin) => origin === ALLOWED });
      const allowed = await openStream(addressOf(url, 'a'), { Origin: ALLOWED });
      expect(allowed.headers).toMatchObject({
        vary: 'Origin',
        'access-control-allow-origin': ALLOWED,
        'access-control-allow-credentials': 'true',
        'access-control-expose-headers': 'Sse-Protocol, Retry-After',
      });
      const rejected = await post(addressOf(url, 'b'), '1', { Origin: ALLOWED });
      expect([rejected.status, rejected.headers['access-control-allow-origin']]).toEqual([
        404,
        ALLOWED,
      ]);
      const foreign = await sendRequest(addressOf(url, 'c'), { headers: { Origin: FOREIGN } });
      expect(foreign.headers).toMatchObject({ 'cache-control': 'no-store' });
      expect(foreign.headers).not.toHaveProperty('access-control-allow-origin');
      const same = await openStream(addressOf(url, 'd'));
      expect(same.headers).not.toHaveProperty('access-control-allow-origin');
    });

    it('rejects a POST of another origin', async () => {
      const { url, connections } = await openChannel();
      const { post: send, token } = await openDuplex(url);
      const body = JSON.stringify({ token, id: 0, ack: 0, messages: ['x'] });
      const reply = await post(addressOf(url, 'a'), body, { Origin: FOREIGN });
      expect(reply.status).toBe(403);
      const messages = record(connections[0]!, 'message');
      await send({ messages: ['y'] });
      expect(messages).toEqual([['y']]);
    });

    it('never allows the origin null, which sandboxed frames and files share', async () => {
      expect(await statusOf({ Origin: 'null' }, { allowedOrigins: () => true })).toBe(403);
    });

    it('keeps the Vary header of other middleware', async () => {
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

  describe('preflight', () => {
    const preflight = (origin: string, requestedHeaders?: string) => ({
      method: 'OPTIONS',
      headers: {
        Origin: origin,
        'Sec-Fetch-Site': 'cross-site',
        'Access-Control-Request-Method': 'POST',
        ...(requestedHeaders !== undefined && {
          'Access-Control-Request-Headers': requestedHeaders,
        }),
      },
    });

    const origins = ['https://allowed.example'];

    it('allows an allowed origin the headers that it requests', async () => {
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

    it.each([undefined, 'a b', 'a,,b', 'a: b'])(
      'allows no headers for the request header list %p',
      async (requestedHeaders) => {
        const { url } = await openChannel({ allowedOrigins: origins });
        const reply = await sendRequest(
          addressOf(url, 'a'),
          preflight(origins[0]!, requestedHeaders),
        );
        expect([reply.status, reply.headers['access-control-allow-headers']]).toEqual([204, '']);
      },
    );

    it('rejects another origin', async () => {
      const { url } = await openChannel({ allowedOrigins: origins });
      const reply = await sendRequest(addressOf(url, 'a'), preflight('https://foreign.example'));
      expect(reply.status).toBe(403);
      expect(reply.headers).not.toHaveProperty('access-control-allow-origin');
    });
  });

  describe('allowedHosts', () => {
    it.each([
      ['app.example', 200],
      ['APP.example', 200],
      ['app.example:80', 403],
      ['rebound.example', 403],
    ])('handles host %s with status %i', async (host, status) => {
      const { url } = await openChannel({ allowedHosts: ['app.example'] });
      const stream = await openStream(addressOf(url, 'a'), { Host: host });
      stream.cut();
      expect(stream.status).toBe(status);
    });

    it('rejects a host that is not allowed although the browser reports same-origin', async () => {
      const { url } = await openChannel({ allowedHosts: ['app.example'] });
      const headers = { Host: 'rebound.example', 'Sec-Fetch-Site': 'same-origin' };
      expect((await sendRequest(addressOf(url, 'a'), { headers })).status).toBe(403);
    });

    it('reads the :authority of HTTP/2', () => {
      const policy = new RequestPolicy(resolveOptions({ allowedHosts: ['app.example'] }));
      const response = { getHeader: () => undefined, setHeader: () => {} } as never;
      const from = (authority: string) => ({ headers: { ':authority': authority } }) as never;
      expect(() => policy.checkOrigin(from('app.example'), response)).not.toThrow();
      expect(() => policy.checkOrigin(from('other.example'), response)).toThrow(SseRequestError);
      expect(() => policy.checkOrigin({ headers: {} } as never, response)).toThrow(SseRequestError);
    });
  });

  describe('authorize', () => {
    it.each<[string, number, () => unknown]>([
      ['true', 200, () => true],
      ['a principal', 200, () => 'ann'],
      ['an empty principal', 200, () => ''],
      ['a promise of true', 200, () => Promise.resolve(true)],
      ['false', 403, () => false],
      ['a promise of false', 403, () => Promise.resolve(false)],
      ['undefined', 403, () => undefined],
      ['null', 403, () => null],
      ['a number', 403, () => 1],
      ['an object', 403, () => ({ id: 1 })],
      [
        'an exception',
        403,
        () => {
          throw new Error('secret');
        },
      ],
      ['a rejection', 403, () => Promise.reject(new Error('secret'))],
    ])('with a result of %s leads to status %i', async (_, status, authorize) => {
      const { url, sse } = await openChannel({ authorize: authorize as () => boolean });
      const errors = record(sse, 'clientError');
      const stream = await openStream(addressOf(url, 'a'));
      expect(stream.status).toBe(status);
      const isAllowed = status === 200;
      expect([sse.connections.size, errors.length]).toEqual(isAllowed ? [1, 0] : [0, 1]);
      if (isAllowed) return;
      await stream.ended;
      expect(JSON.parse(stream.text())).toEqual(FORBIDDEN);
    });

    it('reports a result of the wrong type to the clientError listener as the cause', async () => {
      const { url, sse } = await openChannel({ authorize: (() => 1) as unknown as () => boolean });
      const errors = record(sse, 'clientError');
      (await openStream(addressOf(url, 'a'))).cut();
      const cause = new TypeError('authorize must return a boolean or a string, not number');
      expect(errors).toMatchObject([[{ cause }, {}]]);
    });

    it('reports its exception to the clientError listener as the cause', async () => {
      const cause = new Error('no database');
      const { url, sse } = await openChannel({ authorize: () => Promise.reject(cause) });
      const errors = record(sse, 'clientError');
      await sendRequest(addressOf(url, 'a'));
      expect((errors[0]![0] as Error).cause).toBe(cause);
    });

    it.each<[string, unknown, number]>([
      ['status 503', { status: 503 }, 503],
      ['statusCode 500', { statusCode: 500 }, 503],
      ['status 499', { status: 499 }, 403],
      ['a status that is no number', { status: 'down' }, 403],
      ['no object', undefined, 403],
    ])(
      'that throws with %s rejects the request, with cause %j, with status %i',
      async (_, thrown, status) => {
        const authorize = () => {
          throw thrown;
        };
        const { url, sse } = await openChannel({ authorize });
        const errors = record(sse, 'clientError');
        const duplex = `${addressOf(url, 'a')}&sseProtocol=2`;
        const { status: actual, headers } = await sendRequest(duplex);
        expect([actual, headers['retry-after']]).toEqual([
          status,
          status === 503 ? '1' : undefined,
        ]);
        expect(errors.map(([error]) => (error as Error).cause)).toEqual([thrown]);
      },
    );

    it('that cannot decide leaves an EventSource connecting, because an error status would end it', async () => {
      const authorize = () => Promise.reject(Object.assign(new Error('down'), { status: 500 }));
      const { url, sse } = await openChannel({ authorize });
      const errors = record(sse, 'clientError');
      const { status, text } = await sendRequest(addressOf(url, 'a'));
      expect([status, text]).toEqual([200, 'retry: 1000\n\n']);
      expect(errors).toMatchObject([[{ status: 503 }, {}]]);
    });

    it('is called with the request for each GET and each POST', async () => {
      const authorize = jest.fn((request: Request) => request.headers['x-user'] === 'ann');
      const { url } = await openChannel({ authorize });
      const { post: send } = await openDuplex(url, 'a', { 'x-user': 'ann' });
      expect((await send({ messages: [1] })).status).toBe(200);
      expect(authorize.mock.calls.map(([{ method }]) => method)).toEqual(['GET', 'POST']);
    });

    it('rejects a POST before its body is read', async () => {
      const { url } = await openChannel({ authorize: ({ method }) => method === 'GET' });
      await openDuplex(url);
      const reply = await post(addressOf(url, 'a'), 'not JSON');
      expect([reply.status, reply.json]).toEqual([403, FORBIDDEN]);
    });

    it('leads to 503 if it does not settle within 5 s', async () => {
      const authorize = jest.fn(() => new Promise<boolean>(() => {}));
      const { url } = await openChannel({ authorize });
      useFakeTimeouts();
      let hasResponse = false;
      const duplex = `${addressOf(url, 'a')}&sseProtocol=2`;
      const reply = sendRequest(duplex).finally(() => (hasResponse = true));
      await waitFor(() => authorize.mock.calls.length > 0);
      jest.advanceTimersByTime(4_999);
      await sendRequest(url); // a whole exchange later
      expect(hasResponse).toBe(false);
      jest.advanceTimersByTime(1);
      expect((await reply).status).toBe(503);
    });

    it('that never settles is answered before the client gives up, and the client tries again', async () => {
      const authorize = jest.fn(() => new Promise<boolean>(() => {}));
      const { url, sse } = await openChannel({ authorize });
      const errors = record(sse, 'clientError');
      useFakeTimeouts();
      const client = openClient(url, { transport: 'stream' });
      const clientErrors = eventsOf(client, 'error');
      await waitFor(() => authorize.mock.calls.length > 0);
      jest.advanceTimersByTime(4_999);
      await sendRequest(url); // a whole exchange later
      expect([errors.length, clientErrors.length]).toEqual([1, 0]); // that of the exchange
      jest.advanceTimersByTime(1); // the client itself gives up after 10 s
      await waitFor(() => clientErrors.length > 0);
      const message = 'the request cannot be authorized now: send it again later';
      expect(clientErrors).toMatchObject([{ message }]);
      authorize.mockResolvedValue(true);
      jest.advanceTimersByTime(1_000); // Retry-After
      await next(client, 'open');
      expect(errors[1]![0]).toMatchObject({
        code: 'service-unavailable',
        cause: new Error('authorize did not settle within 5000 ms'),
      });
    });

    it('leaves no timer when it has settled', async () => {
      const policy = new RequestPolicy(resolveOptions({ authorize: () => Promise.resolve('ann') }));
      useFakeTimeouts();
      expect(await policy.authorize({} as never)).toBe('ann');
      expect(jest.getTimerCount()).toBe(0);
    });

    it('opens no session for a client that has disconnected in the meantime', async () => {
      let settle!: (isAllowed: boolean) => void;
      const requests: Request[] = [];
      const { url, sse } = await openChannel({
        authorize: (request) => {
          requests.push(request);
          return new Promise<boolean>((resolve) => (settle = resolve));
        },
      });
      const controller = new AbortController();
      const aborted = fetch(addressOf(url, 'a'), { signal: controller.signal }).catch(
        () => 'aborted',
      );
      await waitFor(() => requests.length > 0);
      const isClosed = new Promise((resolve) => requests[0]!.on('close', resolve));
      controller.abort();
      await Promise.all([aborted, isClosed]);
      settle(true);
      await turn();
      expect(sse.stats()).toMatchObject({ connections: 0, opened: 0 });
    });
  });
});
