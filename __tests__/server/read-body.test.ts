import { request as httpRequest } from 'node:http';
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import express from 'express';
import type { RequestHandler } from 'express';
import { sendJson } from '../../lib/server/node-http';
import { readJsonBody } from '../../lib/server/read-body';
import { SseRequestError } from '../../lib/server/request-error';
import { listen } from '../helpers/channel';
import { turn } from '../helpers/fake-timeouts';
import { post } from '../helpers/http';
import { onTestFinished } from '../helpers/on-test-finished';

const LIMIT = 100;
const TIMEOUT = 5_000;

/** Responds with what was read, or with the error. */
function reader(...before: RequestHandler[]): Promise<string> {
  return readerUpTo(LIMIT, ...before);
}

async function readerUpTo(limit: number, ...before: RequestHandler[]): Promise<string> {
  const app = express();
  if (before.length > 0) app.use(...before);
  app.post('/', async (request, response) => {
    try {
      response.json(await readJsonBody(request, limit, TIMEOUT));
    } catch (error) {
      const { status, body, headers } = error as SseRequestError;
      sendJson(response, status, body, headers);
    }
  });
  const { origin } = await listen(app);
  return origin;
}

/** A POST whose body is written by the test. */
function upload(url: string, headers: OutgoingHttpHeaders = {}) {
  const sent = httpRequest(url, { method: 'POST', agent: false, headers });
  onTestFinished(() => sent.destroy());
  const responded = new Promise<IncomingMessage>((resolve, reject) => {
    sent.on('response', resolve).on('error', reject);
  });
  responded.catch(() => {});
  sent.flushHeaders();
  return { sent, responded };
}

describe('readJsonBody', () => {
  it.each<[string, unknown, number]>([
    ['"text"', 'text', 6],
    ['{"a":[1,null]}', { a: [1, null] }, 14],
    ['null', null, 4],
    ['false', false, 5],
    ['0', 0, 1],
    [' "ü" ', 'ü', 6],
    ['"\\ud83d"', '\ud83d', 8],
  ])('reads the JSON value %s', async (body, value, size) => {
    const reply = await post(await reader(), body);
    expect(reply.json).toEqual({ value, size });
  });

  it('reads a body that arrives in pieces cut within a character', async () => {
    const { sent, responded } = upload(await reader());
    for (const byte of Buffer.from('"ü😀"')) {
      sent.write(Buffer.of(byte));
      await turn();
    }
    sent.end();
    const response = await responded;
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
  ])('accepts the Content-Type %s', async (type) => {
    expect((await post(await reader(), '1', { 'Content-Type': type })).status).toBe(200);
  });

  it('accepts a body without a Content-Type', async () => {
    const { sent, responded } = upload(await reader());
    sent.end('1');
    expect((await responded).statusCode).toBe(200);
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
  ])('rejects the header %j with 415', async (headers, message) => {
    const { status, json } = await post(await reader(), '1', headers);
    expect(status).toBe(415);
    expect(json).toEqual({
      code: 'unsupported-media-type',
      message: expect.stringContaining(message) as string,
    });
  });

  it('accepts Content-Encoding identity', async () => {
    const reply = await post(await reader(), '1', { 'Content-Encoding': 'Identity' });
    expect(reply.status).toBe(200);
  });

  it.each<[string, string | Buffer, string]>([
    ['an empty body', '', 'the request body is empty: send one JSON value'],
    ['two values', '1 2', 'the request body is not JSON ('],
    ['JavaScript', '{a:1}', 'the request body is not JSON ('],
    ['what is not UTF-8', Buffer.of(0x22, 0xff, 0x22), 'the request body is not valid UTF-8'],
    ['half a character', Buffer.of(0x22, 0xc3), 'the request body is not valid UTF-8'],
  ])('rejects %s with 400', async (_, body, message) => {
    const { status, json } = await post(await reader(), body);
    expect([status, json]).toEqual([
      400,
      { code: 'bad-request', message: expect.stringContaining(message) as string },
    ]);
  });

  describe('with a limit of 100 bytes', () => {
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
    ])(
      'handles a body of %i bytes declared by Content-Length with status %i',
      async (size, status) => {
        const reply = await post(await reader(), ofSize(size));
        expect(reply.status).toBe(status);
        if (status === 413) expect(reply.json).toEqual(tooLarge);
      },
    );

    it.each([
      [LIMIT - 1, 200],
      [LIMIT, 200],
      [LIMIT + 1, 413],
    ])('handles a body of %i bytes in chunks with status %i', async (size, status) => {
      const { sent, responded } = upload(await reader());
      sent.write(ofSize(size).slice(0, 50));
      await turn();
      sent.end(ofSize(size).slice(50));
      const response = await responded;
      expect(response.statusCode).toBe(status);
      const body: unknown = JSON.parse((await response.toArray()).join(''));
      if (status === 413) expect(body).toEqual(tooLarge);
    });

    it('rejects a Content-Length above the limit before the body arrives', async () => {
      const { responded } = upload(await reader(), { 'Content-Length': LIMIT + 1 });
      expect((await responded).statusCode).toBe(413);
    });

    it.each([
      ['express.text()', express.text({ limit: '1mb' })],
      ['express.raw()', express.raw({ type: '*/*', limit: '1mb' })],
      ['express.json()', express.json({ type: '*/*', strict: false, limit: '1mb' })],
    ])('rejects a larger body that %s has accepted', async (_, parser) => {
      const url = await reader(parser);
      expect((await post(url, ofSize(LIMIT))).status).toBe(200);
      const { status, json } = await post(url, ofSize(LIMIT + 1));
      expect([status, json]).toEqual([413, tooLarge]);
    });
  });

  describe('with a nested body', () => {
    const ofDepth = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

    it.each<[string, ...RequestHandler[]]>([
      ['no body parser'],
      ['express.text()', express.text()],
      ['express.raw()', express.raw({ type: '*/*' })],
      ['express.json()', express.json({ type: '*/*' })],
    ])('accepts up to 500 levels after %s, also in chunks', async (_, ...before) => {
      const url = await readerUpTo(100_000, ...before);
      for (const [levels, expected] of [
        [500, 200],
        [501, 400],
        [20_000, 400],
      ] as const) {
        expect((await post(url, ofDepth(levels))).status).toBe(expected);
        const { sent, responded } = upload(url, { 'Content-Type': 'text/plain' });
        sent.end(ofDepth(levels));
        expect((await responded).statusCode).toBe(expected);
      }
    });
  });

  describe('after a body parser', () => {
    const VALUES = ['text', '', '"quoted"', '123', { a: 1 }, [1, 2], null, true, 0, 'ü\n'];

    const type = '*/*';

    it.each([
      ['express.json({ strict: false })', express.json({ type, strict: false })],
      ['express.text()', express.text({ type })],
      ['express.raw()', express.raw({ type })],
      ['a parser of another type', express.json({ type: 'x/y' })],
    ])('reads any JSON value after %s', async (_, parser) => {
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
    ])(
      'reads a body of type %s and unknown length after its parser',
      async (contentType, parser, body, value) => {
        const { sent, responded } = upload(await reader(parser), { 'Content-Type': contentType });
        sent.end(body);
        expect(JSON.parse((await (await responded).toArray()).join(''))).toMatchObject({ value });
      },
    );

    it.each([
      ['express.text()', express.text({ type })],
      ['express.raw()', express.raw({ type })],
    ])('rejects a body that is not JSON after %s', async (_, parser) => {
      expect((await post(await reader(parser), 'x')).status).toBe(400);
    });

    it.each([
      ['express.text()', express.text({ type })],
      ['express.raw()', express.raw({ type })],
      ['express.json()', express.json({ type })],
    ])('rejects an empty body after %s', async (_, parser) => {
      const { status, json } = await post(await reader(parser), '');
      expect([status, json]).toMatchObject([400, { code: 'bad-request' }]);
    });

    it('reads a chunked body after express.text()', async () => {
      const { sent, responded } = upload(await reader(express.text()), {
        'Content-Type': 'text/plain',
      });
      sent.end('"x"');
      const response = await responded;
      expect(JSON.parse((await response.toArray()).join(''))).toEqual({ value: 'x', size: 3 });
    });

    it('rejects a larger chunked body after express.json()', async () => {
      const { sent, responded } = upload(await reader(express.json()), {
        'Content-Type': 'application/json',
      });
      sent.end(JSON.stringify(['x'.repeat(LIMIT)]));
      expect((await responded).statusCode).toBe(413);
    });

    it('rejects a body that other middleware has read and discarded with a message that says so', async () => {
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
});
