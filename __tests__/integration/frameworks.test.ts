import type { IncomingMessage, ServerResponse } from 'node:http';
import compression from 'compression';
import cookieParser from 'cookie-parser';
import cors from 'cors';
import express from 'express';
import type { Request, Response } from 'express';
import session from 'express-session';
import helmet from 'helmet';
import { FRAMEWORKS, createEcho, open, serveTuned } from './frameworks';
import type { Framework, Handler } from './frameworks';
import { connectHttp1 } from './http-client';
import type { Send, StreamedResponse } from './http-client';

/** The result of an exchange of messages in each dialect. */
interface Outcome {
  duplex: string;
  dart: string;
}

const WORKS: Outcome = { duplex: 'works', dart: 'works' };

const MIDDLEWARES: [string, () => Handler[], Outcome?][] = [
  ['no middleware', () => []],
  ['compression()', () => [compression() as Handler]],
  ['compression({ threshold: 0 })', () => [compression({ threshold: 0 }) as Handler]],
  ['helmet()', () => [helmet()]],
  ['cors()', () => [cors()]],
  [
    'express-session',
    () => [session({ secret: 's', resave: false, saveUninitialized: true }) as Handler],
  ],
  ['cookie-parser', () => [cookieParser() as Handler]],
  ['express.json()', () => [express.json()]],
  ['express.text()', () => [express.text()]],
  ['express.raw()', () => [express.raw()]],
  ["express.raw({ type: '*/*' })", () => [express.raw({ type: '*/*' })]],
  ['express.urlencoded()', () => [express.urlencoded()]],
  [
    "express.json({ type: '*/*', strict: false })",
    () => [express.json({ type: '*/*', strict: false })],
  ],
  // It rejects JSON strings itself, so our middleware does not receive the request.
  [
    "express.json({ type: '*/*' })",
    () => [express.json({ type: '*/*' })],
    { duplex: 'works', dart: '400 by body-parser' },
  ],
  [
    'all of these',
    () => [
      compression() as Handler,
      helmet(),
      cors(),
      session({ secret: 's', resave: false, saveUninitialized: true }) as Handler,
      cookieParser() as Handler,
      express.json(),
      express.text(),
      express.raw(),
      express.urlencoded(),
    ],
  ],
];

/** Without this header nothing would be compressed. */
const BROWSER_HEADERS = { 'accept-encoding': 'gzip, br' };

/** Sends a POST as browsers do: with Content-Length in every version of HTTP. */
function post(send: Send, address: string, message: unknown) {
  const body = JSON.stringify(message);
  const headers = {
    'content-type': 'text/plain;charset=UTF-8',
    'content-length': Buffer.byteLength(body),
  };
  return send(address, { method: 'POST', headers, body });
}

async function converse(send: Send, path = '/sse'): Promise<Outcome> {
  return { duplex: await converseInDuplex(send, path), dart: await converseInDart(send, path) };
}

async function converseInDuplex(send: Send, path: string): Promise<string> {
  const address = `${path}?sseClientId=a`;
  const stream = await send(`${address}&sseProtocol=2`, { headers: BROWSER_HEADERS });
  await stream.read('event: hello\n'); // arrives before any other output
  await stream.read('\n\n');
  const token = /"token":"([^"]+)"/.exec(stream.text())![1];
  const messages = ['ü', { any: 'json' }, 'end'];
  const response = await post(send, address, { token, id: 0, ack: 0, messages });
  if (response.status !== 200) return describeRejection(response);
  await stream.read('data: "ü"\n\ndata: {"any":"json"}\n\ndata: "end"\n\n');
  await stream.read('event: close\ndata: {"code":4000,"reason":"requested"}\n\n');
  await stream.readAll();
  return 'works';
}

async function converseInDart(send: Send, path: string): Promise<string> {
  const address = `${path}?sseClientId=b`;
  const stream = await send(address, { headers: BROWSER_HEADERS });
  await stream.read('retry: 1000\nid: '); // arrives before any other output
  const texts = ['ü', '', '17', 'end'];
  for (const [number, text] of texts.entries()) {
    const response = await post(send, `${address}&messageId=${number}`, text);
    if (response.status === 200) continue;
    stream.cut();
    return describeRejection(response);
  }
  for (const text of texts) await stream.read(`\ndata: ${JSON.stringify(text)}\n\n`);
  await stream.read('event: control\ndata: close\n\n');
  await stream.readAll();
  return 'works';
}

async function describeRejection({ status, readAll }: StreamedResponse): Promise<string> {
  const text = await readAll();
  const rejecter = /body-parser|sse-duplex/.exec(text)?.[0];
  return `${status} by ${rejecter ?? text}`;
}

describe.each(Object.entries(FRAMEWORKS))('In %s', (name, framework: Framework) => {
  // An attached channel receives requests ahead of the middleware.
  const isAhead = name.startsWith('attach');

  it.each(MIDDLEWARES)(
    'a channel behind %s exchanges messages, or a parser rejects them',
    async (_, before, outcome = WORKS) => {
      const sse = createEcho();
      const send = await open(framework, [...before(), sse]);
      expect(await converse(send)).toEqual(isAhead ? WORKS : outcome);
    },
  );

  it.each(MIDDLEWARES)(
    'a channel works ahead of %s, which gets only other requests',
    async (_, after) => {
      const sse = createEcho();
      const seen: IncomingMessage[] = [];
      const next: Handler = (request, response) => {
        seen.push(request);
        response.writeHead(200).end('next handler');
      };
      const send = await open(framework, [sse, ...after(), next]);
      expect(await converse(send)).toEqual(WORKS);
      expect(seen).toEqual([]);
      const other = await send('/other');
      expect([other.status, await other.readAll()]).toEqual([200, 'next handler']);
    },
  );

  it('two channels work at two paths', async () => {
    const send = await open(framework, [createEcho('/a'), createEcho('/a/b')]);
    const both = [converse(send, '/a'), ...(isAhead ? [] : [converse(send, '/a/b')])];
    for (const outcome of await Promise.all(both)) expect(outcome).toEqual(WORKS);
  });
});

test('On the server of docs/scaling.md Express does not change the prototypes of requests', async () => {
  const prototypes: unknown[] = [];
  const keep = (request: IncomingMessage, response: ServerResponse) =>
    prototypes.push(Object.getPrototypeOf(request), Object.getPrototypeOf(response));
  const framework: Framework = {
    serve(handlers) {
      const server = serveTuned(express().use(...handlers));
      return server.prependListener('request', keep);
    },
    connect: connectHttp1,
  };
  const send = await open(framework, [
    (request, response) => {
      keep(request, response);
      (response as Response).json({ query: (request as Request).query });
    },
  ]);
  const response = await send('/?a=1');
  expect(JSON.parse(await response.readAll())).toEqual({ query: { a: '1' } });
  const [requestBefore, responseBefore, requestAfter, responseAfter] = prototypes;
  expect(requestAfter).toBe(requestBefore);
  expect(responseAfter).toBe(responseBefore);
});
