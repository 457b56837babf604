import { maxHeaderSize } from 'node:http';
import express from 'express';
import { createSse, listen, record } from '../helpers/channel';
import { sendRequest, openStream, post } from '../helpers/http';
import { catchUncaught } from '../helpers/uncaught';
import { exchange } from './raw-socket';

// Express 4 has no types here. Its API is the same as far as this file uses it.
const express4 = jest.requireActual<typeof express>('express4');

/**
 * Opens a channel in an application of one version of Express.
 *
 * @param maxHeaderSize larger than Node's default, so that ids of any length are received.
 */
async function openChannel(application: typeof express, maxHeaderSize = 1024 * 1024) {
  const sse = createSse();
  const app = application();
  app.use(application.json(), application.urlencoded({ extended: true }), sse);
  const { origin } = await listen(app, { maxHeaderSize });
  return { sse, url: `${origin}/sse` };
}

/** Returns the properties of the built-in prototypes, in which pollution would show. */
const prototypes = () =>
  [Object, Array, String, Function, Map, URLSearchParams].map(({ prototype }) =>
    Object.entries(Object.getOwnPropertyDescriptors(prototype)).map(
      ([name, { value }]) => [name, value as unknown] as const,
    ),
  );

/** Queries, and the session id that each contains. */
const VALID: [string, string][] = [
  ...['__proto__', 'constructor', 'prototype', 'toString', 'valueOf', 'hasOwnProperty'].map(
    (name): [string, string] => [`sseClientId=${name}`, name],
  ),
  ['sseClientId=__proto__&__proto__=x&__proto__[polluted]=1', '__proto__'],
  ['sseClientId=a&constructor[prototype][polluted]=1', 'a'],
  ['sseClientId=a&sseClientId[]=b', 'a'],
  ['sseClientId[__proto__][polluted]=1&sseClientId=a', 'a'],
  ['sseClientId=a;sseClientId=b', 'a;sseClientId=b'],
  ['sseClientId=a%26sseClientId=b', 'a&sseClientId=b'],
  ['sseClientId=[object Object]'.replaceAll(' ', '%20'), '[object Object]'],
  ['sseClientId=%FF', '\ufffd'],
  ['sseClientId=%C3%28', '\ufffd('],
  ['sseClientId=%C0%80', '\ufffd\ufffd'],
  ['sseClientId=%ED%A0%80', '\ufffd\ufffd\ufffd'],
  ['sseClientId=%uD800', '%uD800'],
  ['sseClientId=%', '%'],
  ['sseClientId=%zz', '%zz'],
  ['sseClientId=%2500', '%00'],
  ['sseClientId=%250D%250A', '%0D%0A'],
  ['sseClientId=%EF%BB%BFa', '\ufeffa'],
  ['sseClientId=%E2%80%A8', '\u2028'],
  ['sseClientId=%E2%80%AEa', '\u202ea'],
  ['sseClientId=../../etc/passwd', '../../etc/passwd'],
  ['sseClientId=%3Cscript%3E%22', '<script>"'],
  ['sseClientId=a+b', 'a b'],
  ['sseClientId=a%2Bb', 'a+b'],
  ['sseClientId=a/b', 'a/b'],
  ['sseClientId=a%2Fb', 'a/b'],
  ['sseClientId=+', ' '],
  ['sseClientId=%F0%9F%98%80%C3%BC', '😀ü'],
  ['sseClientId=e%CC%81', 'e\u0301'], // not normalized to é
  [`sseClientId=${'%F0%9F%98%80'.repeat(128)}`, '😀'.repeat(128)],
];

const INVALID = [
  ...['', 'sseClientId', 'sseClientId=', 'sseclientid=a', 'SSECLIENTID=a', 'sseClientId%5B%5D=a'],
  ...['sseClientId=a&sseClientId=a', 'sseClientId=a&sseClientId=b', 'sseClientId=a&sseClientId'],
  ...['sseClientId=&sseClientId=a', 'sseClientId=a&sseClientId=__proto__', 'sseClientId%00=a'],
  ...['sseClientId[]=a', 'sseClientId[a]=b', 'sseClientId[0]=a', 'sseClientId.a=b'],
  ...['sseClientId[__proto__]=a', 'sseClientId[__proto__][polluted]=1', '__proto__[sseClientId]=a'],
  ...['00', '0D', '0A', '0D%0A', '0D%0AX:%20y', '1B', '08', '7F', 'C2%80', 'C2%85', 'C2%9B'].map(
    (bytes) => `sseClientId=a%${bytes}b`,
  ),
  ...['a'.repeat(257), '%F0%9F%98%80'.repeat(129), 'a'.repeat(65_536), '%61'.repeat(65_536)].map(
    (name) => `sseClientId=${name}`,
  ),
  'sseClientId=a&'.repeat(5_000),
];

describe.each([
  ['4', express4],
  ['5', express],
])('A session id on Express %s', (_, application) => {
  const before = prototypes();
  let uncaught: unknown[];

  beforeEach(() => (uncaught = catchUncaught()));
  afterEach(() => {
    expect(uncaught).toEqual([]);
    expect(prototypes()).toEqual(before);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it.each(VALID)('is used literally: %s', async (query, id) => {
    const { sse, url } = await openChannel(application);
    expect(sse.connections.get(id)).toBeUndefined();
    const stream = await openStream(`${url}?${query}`);
    expect([stream.status, [...sse.connections].map((each) => each.id)]).toEqual([200, [id]]);
    const messages = record(sse.connections.get(id)!, 'message');
    expect((await post(`${url}?${query}&messageId=0`, '"x"')).json).toEqual({ received: 1 });
    expect(messages).toEqual([['x']]);
  });

  it('that is invalid is rejected with 400', async () => {
    const { sse, url } = await openChannel(application);
    for (const query of INVALID) {
      for (const method of ['GET', 'POST']) {
        const { status, text } = await sendRequest(`${url}?${query}`, { method });
        const given = query.slice(0, 80);
        const response = { method, given, status, error: JSON.parse(text) as unknown };
        const error = { code: 'bad-request' };
        expect(response).toMatchObject({ method, given, status: 400, error });
      }
    }
    expect(sse.stats()).toMatchObject({ connections: 0, clientErrors: 2 * INVALID.length });
  });

  it.each<[string, string]>([
    ['NUL', 'a\0b'],
    ['CR', 'a\rb'],
    ['LF', 'a\nb'],
    ['CRLF and a header', 'a HTTP/1.1\r\n\r\nX: '],
    ['a space', 'a b'],
  ])('that breaks the request line is rejected with 400: %s', async (_what, id) => {
    const { sse, url } = await openChannel(application);
    const response = await exchange(url, `POST /sse?sseClientId=${id} HTTP/1.1\r\nHost: a\r\n\r\n`);
    expect(response).toMatch(/^HTTP\/1.1 400 /);
    expect(sse.connections.size).toBe(0);
  });

  it('of 64 KiB is rejected with 431 by Node at its default limit', async () => {
    const { url } = await openChannel(application, maxHeaderSize);
    expect((await sendRequest(`${url}?sseClientId=${'a'.repeat(65_536)}`)).status).toBe(431);
  });
});
