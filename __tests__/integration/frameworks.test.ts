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
import { speakHttp1 } from './speak';
import type { Speak } from './speak';

/** One message up and down, in each dialect; what came of it. */
interface Outcome {
  duplex: string;
  base: string;
}

const WORKS: Outcome = { duplex: 'works', base: 'works' };

const MIDDLEWARES: [string, () => Handler[], Outcome?][] = [
  ['nothing', () => []],
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
  // It refuses a string by itself: our middleware never sees the request.
  [
    "express.json({ type: '*/*' })",
    () => [express.json({ type: '*/*' })],
    { duplex: 'works', base: '400 by body-parser' },
  ],
  [
    'all of them',
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

/** Without it nothing would be compressed in any case. */
const AS_BROWSERS = { 'accept-encoding': 'gzip, br' };

/** A POST as browsers send it: with its length, whatever the version of HTTP. */
function post(speak: Speak, address: string, message: unknown) {
  const body = JSON.stringify(message);
  const headers = {
    'content-type': 'text/plain;charset=UTF-8',
    'content-length': Buffer.byteLength(body),
  };
  return speak(address, { method: 'POST', headers, body });
}

async function converse(speak: Speak, path = '/sse'): Promise<Outcome> {
  return { duplex: await converseInDuplex(speak, path), base: await converseInBase(speak, path) };
}

async function converseInDuplex(speak: Speak, path: string): Promise<string> {
  const address = `${path}?sseClientId=a`;
  const stream = await speak(`${address}&sseProtocol=2`, { headers: AS_BROWSERS });
  await stream.read('event: hello\n'); // before anything else is said
  await stream.read('\n\n');
  const token = /"token":"([^"]+)"/.exec(stream.text())![1];
  const messages = ['ü', { any: 'json' }, 'end'];
  const reply = await post(speak, address, { token, id: 0, ack: 0, messages });
  if (reply.status !== 200) return refusal(reply.status, await reply.readAll());
  await stream.read('data: "ü"\n\ndata: {"any":"json"}\n\ndata: "end"\n\n');
  await stream.read('event: close\ndata: {"code":4000,"reason":"as pending"}\n\n');
  await stream.readAll();
  return 'works';
}

async function converseInBase(speak: Speak, path: string): Promise<string> {
  const address = `${path}?sseClientId=b`;
  const stream = await speak(address, { headers: AS_BROWSERS });
  await stream.read('retry: 1000\nid: '); // before anything else is said
  const texts = ['ü', '', '17', 'end'];
  for (const [number, text] of texts.entries()) {
    const reply = await post(speak, `${address}&messageId=${number}`, text);
    if (reply.status === 200) continue;
    stream.cut();
    return refusal(reply.status, await reply.readAll());
  }
  for (const text of texts) await stream.read(`\ndata: ${JSON.stringify(text)}\n\n`);
  await stream.read('event: control\ndata: close\n\n');
  await stream.readAll();
  return 'works';
}

function refusal(status: number, text: string): string {
  const who = /body-parser|sse-duplex/.exec(text)?.[0];
  return `${status} by ${who ?? text}`;
}

describe.each(Object.entries(FRAMEWORKS))('in %s', (name, framework: Framework) => {
  // What is attached to the server is ahead of all of them.
  const isAhead = name.startsWith('attach');

  it.each(MIDDLEWARES)('a channel behind %s', async (_, before, outcome = WORKS) => {
    const sse = createEcho();
    const speak = await open(framework, [...before(), sse]);
    expect(await converse(speak)).toEqual(isAhead ? WORKS : outcome);
  });

  it.each(MIDDLEWARES)('a channel ahead of %s', async (_, after) => {
    const sse = createEcho();
    const seen: IncomingMessage[] = [];
    const next: Handler = (request, response) => {
      seen.push(request);
      response.writeHead(200).end('the next');
    };
    const speak = await open(framework, [sse, ...after(), next]);
    expect(await converse(speak)).toEqual(WORKS);
    expect(seen).toEqual([]);
    const other = await speak('/other');
    expect([other.status, await other.readAll()]).toEqual([200, 'the next']);
  });

  it('two channels at two paths', async () => {
    const speak = await open(framework, [createEcho('/a'), createEcho('/a/b')]);
    const both = [converse(speak, '/a'), ...(isAhead ? [] : [converse(speak, '/a/b')])];
    for (const outcome of await Promise.all(both)) expect(outcome).toEqual(WORKS);
  });
});

test('a server that is tuned gives Express no prototype to change', async () => {
  const prototypes: unknown[] = [];
  const keep = (request: IncomingMessage, response: ServerResponse) =>
    prototypes.push(Object.getPrototypeOf(request), Object.getPrototypeOf(response));
  const framework: Framework = {
    serve(handlers) {
      const server = serveTuned(express().use(...handlers));
      return server.prependListener('request', keep);
    },
    speak: speakHttp1,
  };
  const speak = await open(framework, [
    (request, response) => {
      keep(request, response);
      (response as Response).json({ query: (request as Request).query });
    },
  ]);
  const reply = await speak('/?a=1');
  expect(JSON.parse(await reply.readAll())).toEqual({ query: { a: '1' } });
  const [requestBefore, responseBefore, requestAfter, responseAfter] = prototypes;
  expect(requestAfter).toBe(requestBefore);
  expect(responseAfter).toBe(responseBefore);
});
