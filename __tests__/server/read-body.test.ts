import { request as httpRequest } from 'node:http';
import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import express from 'express';
import type { RequestHandler } from 'express';
import { discardBody, sendJson } from '../../lib/server/node-http';
import { readJsonBody } from '../../lib/server/read-body';
import { SseRequestError } from '../../lib/server/request-error';
import { listen } from '../helpers/channel';
import { onTestFinished } from '../helpers/on-test-finished';
import { post } from '../helpers/http';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { waitFor } from '../helpers/wait-for';

const LIMIT = 100;
const TIMEOUT = 5_000;

/** Answers with what was read, or the fault. */
async function reader(...before: RequestHandler[]): Promise<string> {
  const app = express();
  if (before.length > 0) app.use(...before);
  app.post('/', async (request, response) => {
    try {
      response.json(await readJsonBody(request, LIMIT, TIMEOUT));
    } catch (error) {
      const { status, body, headers } = error as SseRequestError;
      sendJson(response, status, body, headers);
    }
  });
  const { origin } = await listen(app);
  return origin;
}

/** A POST whose body is written by hand. */
function upload(url: string, headers: OutgoingHttpHeaders = {}) {
  const sent = httpRequest(url, { method: 'POST', agent: false, headers });
  onTestFinished(() => sent.destroy());
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    sent.on('response', resolve).on('error', reject);
  });
  answered.catch(() => {});
  sent.flushHeaders();
  return { sent, answered };
}

describe('reading a message', () => {
  it.each<[string, unknown, number]>([
    ['"text"', 'text', 6],
    ['{"a":[1,null]}', { a: [1, null] }, 14],
    ['null', null, 4],
    ['false', false, 5],
    ['0', 0, 1],
    [' "ü" ', 'ü', 6],
    ['"\\ud83d"', '\ud83d', 8],
  ])('takes any JSON value: %s', async (body, value, size) => {
    const reply = await post(await reader(), body);
    expect(reply.json).toEqual({ value, size });
  });

  it('takes a body in many pieces, cut within a character', async () => {
    const { sent, answered } = upload(await reader());
    for (const byte of Buffer.from('"ü😀"')) {
      sent.write(Buffer.of(byte));
      await turn();
    }
    sent.end();
    const response = await answered;
    expect(JSON.parse((await response.toArray()).join(''))).toEqual({ value: 'ü😀', size: 8 });
  });

  it.each([
    'text/plain',
    'text/plain;charset=UTF-8',
    'Text/Plain; charset="utf-8"',
    'text/plain; charset=utf8',
    'application/json',
    'application/json; charset=utf-8',
    'application/vnd.a-b+json',
  ])('takes it as %s', async (type) => {
    expect((await post(await reader(), '1', { 'Content-Type': type })).status).toBe(200);
  });

  it('takes it without a type', async () => {
    const { sent, answered } = upload(await reader());
    sent.end('1');
    expect((await answered).statusCode).toBe(200);
  });

  it.each<[OutgoingHttpHeaders, string]>([
    [{ 'Content-Type': 'text/html' }, 'Content-Type "text/html" is not supported'],
    [
      { 'Content-Type': 'application/x-www-form-urlencoded' },
      'is not supported: send JSON as text/plain',
    ],
    [{ 'Content-Type': 'multipart/form-data' }, 'is not supported'],
    [{ 'Content-Type': 'text/plainer' }, 'is not supported'],
    [
      { 'Content-Type': 'text/plain; charset=latin1' },
      'charset "latin1" is not supported: send UTF-8',
    ],
    [
      { 'Content-Encoding': 'gzip' },
      'Content-Encoding "gzip" is not supported: send the body uncompressed',
    ],
  ])('refuses %j', async (headers, message) => {
    const { status, json } = await post(await reader(), '1', headers);
    expect(status).toBe(415);
    expect(json).toEqual({
      code: 'unsupported-media-type',
      message: expect.stringContaining(message) as string,
    });
  });

  it('takes encoding identity, which is none', async () => {
    const reply = await post(await reader(), '1', { 'Content-Encoding': 'Identity' });
    expect(reply.status).toBe(200);
  });

  it.each<[string, string | Buffer, string]>([
    ['an empty body', '', 'the request body is empty: send one JSON value'],
    ['two values', '1 2', 'the request body is not JSON ('],
    ['JavaScript', '{a:1}', 'the request body is not JSON ('],
    ['what is not UTF-8', Buffer.of(0x22, 0xff, 0x22), 'the request body is not valid UTF-8'],
    ['half a character', Buffer.of(0x22, 0xc3), 'the request body is not valid UTF-8'],
  ])('refuses %s', async (_, body, message) => {
    const { status, json } = await post(await reader(), body);
    expect([status, json]).toEqual([
      400,
      { code: 'bad-request', message: expect.stringContaining(message) as string },
    ]);
  });

  describe('of a certain size', () => {
    const ofSize = (size: number) => JSON.stringify('x'.repeat(size - 2));
    const tooLarge = {
      code: 'content-too-large',
      message: expect.stringContaining('exceeds 100 bytes') as string,
      maxPayload: LIMIT,
    };

    it.each([
      [LIMIT - 1, 200],
      [LIMIT, 200],
      [LIMIT + 1, 413],
    ])('answers %i bytes by Content-Length with %i', async (size, status) => {
      const reply = await post(await reader(), ofSize(size));
      expect(reply.status).toBe(status);
      if (status === 413) expect(reply.json).toEqual(tooLarge);
    });

    it.each([
      [LIMIT - 1, 200],
      [LIMIT, 200],
      [LIMIT + 1, 413],
    ])('answers %i bytes in chunks with %i', async (size, status) => {
      const { sent, answered } = upload(await reader());
      sent.write(ofSize(size).slice(0, 50));
      await turn();
      sent.end(ofSize(size).slice(50));
      const response = await answered;
      expect(response.statusCode).toBe(status);
      const body: unknown = JSON.parse((await response.toArray()).join(''));
      if (status === 413) expect(body).toEqual(tooLarge);
    });

    it('refuses by Content-Length before the body comes', async () => {
      const { answered } = upload(await reader(), { 'Content-Length': LIMIT + 1 });
      expect((await answered).statusCode).toBe(413);
    });

    it.each([
      ['express.text()', express.text({ limit: '1mb' })],
      ['express.raw()', express.raw({ type: '*/*', limit: '1mb' })],
      ['express.json()', express.json({ type: '*/*', strict: false, limit: '1mb' })],
    ])('refuses what %s has let pass', async (_, parser) => {
      const url = await reader(parser);
      expect((await post(url, ofSize(LIMIT))).status).toBe(200);
      const { status, json } = await post(url, ofSize(LIMIT + 1));
      expect([status, json]).toEqual([413, tooLarge]);
    });
  });

  describe('that a body parser has read', () => {
    const VALUES = ['text', '', '"quoted"', '123', { a: 1 }, [1, 2], null, true, 0, 'ü\n'];
    const type = '*/*';

    it.each([
      ['express.json({ strict: false })', express.json({ type, strict: false })],
      ['express.text()', express.text({ type })],
      ['express.raw()', express.raw({ type })],
      ['one of another type', express.json({ type: 'x/y' })],
    ])('takes any JSON value after %s', async (_, parser) => {
      const url = await reader(parser);
      for (const value of VALUES) {
        const body = JSON.stringify(value);
        const { json } = await post(url, body);
        expect(json).toEqual({ value, size: expect.any(Number) as number });
      }
    });

    it.each([
      ['text/plain', express.text(), '123', 123],
      ['application/json', express.json({ strict: false }), '"123"', '123'],
    ])('takes %s of unknown length after its parser', async (contentType, parser, body, value) => {
      const { sent, answered } = upload(await reader(parser), { 'Content-Type': contentType });
      sent.end(body);
      expect(JSON.parse((await (await answered).toArray()).join(''))).toMatchObject({ value });
    });

    it.each([
      ['express.text()', express.text({ type })],
      ['express.raw()', express.raw({ type })],
    ])('refuses what is not JSON after %s', async (_, parser) => {
      expect((await post(await reader(parser), 'x')).status).toBe(400);
    });

    it.each([
      ['express.text()', express.text({ type })],
      ['express.raw()', express.raw({ type })],
      ['express.json()', express.json({ type })],
    ])('refuses an empty body after %s', async (_, parser) => {
      const { status, json } = await post(await reader(parser), '');
      expect([status, json]).toMatchObject([400, { code: 'bad-request' }]);
    });

    it('takes what a parser made of chunks', async () => {
      const { sent, answered } = upload(await reader(express.text({ type })));
      sent.end('"x"');
      const response = await answered;
      expect(JSON.parse((await response.toArray()).join(''))).toEqual({ value: 'x', size: 3 });
    });

    it('says so when nothing of it was left', async () => {
      const eat: RequestHandler = (request, _, next) => {
        request.resume();
        request.on('end', () => next());
      };
      const { status, json } = await post(await reader(eat), '1');
      expect([status, json]).toEqual([
        400,
        {
          code: 'bad-request',
          message: expect.stringContaining('mount sse-duplex before it') as string,
        },
      ]);
    });
  });

  describe('that does not arrive', () => {
    /** The outcome of reading a POST of which only a part is sent. */
    async function readPart(headers?: OutgoingHttpHeaders) {
      let outcome: unknown;
      let isReading = false;
      const { origin } = await listen((request, response) => {
        isReading = true;
        void readJsonBody(request, LIMIT, TIMEOUT)
          .catch((error: unknown) => error)
          .then((value) => {
            outcome = value;
            response.end();
          });
      });
      useFakeTimeouts();
      const { sent } = upload(origin, headers);
      sent.on('error', () => {});
      sent.write('"pa');
      await waitFor(() => isReading);
      return { sent, outcome: () => outcome };
    }

    it('is given up after the timeout', async () => {
      const { outcome } = await readPart();
      jest.advanceTimersByTime(TIMEOUT - 1);
      await turn();
      expect(outcome()).toBeUndefined();
      jest.advanceTimersByTime(1);
      await waitFor(() => outcome() !== undefined);
      expect(outcome()).toMatchObject({
        code: 'request-timeout',
        status: 408,
        message: 'the request body did not arrive within 5000 ms (option "bodyTimeout")',
      });
    });

    it('is given up when its client goes', async () => {
      const { sent, outcome } = await readPart({ 'Content-Length': 50 });
      sent.destroy();
      await waitFor(() => outcome() !== undefined);
      expect(outcome()).toMatchObject({
        code: 'bad-request',
        message: 'the connection closed before the end of the request body',
      });
      expect(jest.getTimerCount()).toBe(0);
    });

    it('is given up when its client went before it was pending for', async () => {
      let request: IncomingMessage | undefined;
      const { origin } = await listen((incoming) => (request = incoming));
      const { sent } = upload(origin, { 'Content-Length': 50 });
      sent.on('error', () => {});
      sent.write('"pa');
      await waitFor(() => request !== undefined);
      const isGone = new Promise((resolve) => request!.on('close', resolve));
      request!.on('error', () => {});
      sent.destroy();
      await isGone;
      await expect(readJsonBody(request!, LIMIT, TIMEOUT)).rejects.toMatchObject({
        code: 'bad-request',
        message: 'the connection closed before the end of the request body',
      });
    });
  });

  it('takes a body that was there before it was pending for', async () => {
    let value: unknown;
    const { origin } = await listen((request, response) => {
      setTimeout(() => {
        void readJsonBody(request, LIMIT, TIMEOUT).then((body) => {
          value = body.value;
          response.end('{}');
        });
      }, 20);
    });
    await post(origin, '"early"');
    expect(value).toBe('early');
  });
});

describe('discarding a body', () => {
  async function discarding() {
    const requests: IncomingMessage[] = [];
    const { origin } = await listen((request, response) => {
      requests.push(request);
      response.end();
      discardBody(request, TIMEOUT);
    });
    useFakeTimeouts();
    return { origin, requests };
  }
  const isOver = (sent: ClientRequest) => sent.destroyed || sent.closed;

  it('reads on to its end', async () => {
    const { origin, requests } = await discarding();
    const { sent } = upload(origin, { Connection: 'keep-alive' });
    await waitFor(() => requests.length > 0);
    sent.end('x'.repeat(1000));
    await waitFor(() => requests[0]!.complete);
    await waitFor(() => jest.getTimerCount() === 0);
  });

  it('ends a connection whose body goes on for too long', async () => {
    const { origin, requests } = await discarding();
    const { sent } = upload(origin);
    sent.on('error', () => {});
    await waitFor(() => requests.length > 0);
    jest.advanceTimersByTime(TIMEOUT);
    await waitFor(() => isOver(sent));
    expect(requests[0]!.complete).toBe(false);
  });

  it('is without effect on one that was read', async () => {
    const { origin, requests } = await discarding();
    const { sent, answered } = upload(origin);
    sent.end();
    await answered;
    await waitFor(() => requests[0]!.complete && requests[0]!.destroyed);
    const timers = jest.getTimerCount();
    discardBody(requests[0]!, TIMEOUT);
    expect(jest.getTimerCount()).toBe(timers);
  });
});
