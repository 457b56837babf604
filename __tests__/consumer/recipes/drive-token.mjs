import assert from 'node:assert/strict';
import { SignJWT } from 'jose';
import { SseClient } from 'sse-duplex/client';
import { until } from './harness.mjs';
import { bearer, showToken } from './token.mjs';

/** By how much the clocks of this process are in the future, in milliseconds. */
let shift = 0;
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...args) {
    super(...(args.length === 0 ? [RealDate.now() + shift] : args));
  }
  static now() {
    return RealDate.now() + shift;
  }
};

process.env.SECRET = 'a secret of the test, with more than 32 bytes';
process.env.PORT = process.argv[2];
const origin = `http://127.0.0.1:${process.env.PORT}`;
await import('./server-jwt.mjs');

const fetchToken = async (user) => {
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ user });
  return (await fetch(`${origin}/token`, { method: 'POST', headers, body })).json();
};
const closeOf = (client) =>
  new Promise((resolve) => client.addEventListener('close', resolve, { once: true }));
const open = async (headers) => {
  const client = new SseClient(`${origin}/sse`, { headers, backoff: () => 5 });
  client.onerror = () => {};
  const { data } = await new Promise((resolve) => (client.onmessage = resolve));
  return { client, data };
};
const rejects = async (authorization) => {
  const headers = authorization === undefined ? {} : { authorization };
  const client = new SseClient(`${origin}/sse`, { headers });
  client.onerror = () => {};
  assert.equal((await closeOf(client)).code, 1006);
  assert.equal((await fetch(`${origin}/sign-out`, { method: 'POST', headers })).status, 403);
};
const sign = (secret, expires) =>
  new SignJWT({ version: 0 })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('ada')
    .setExpirationTime(expires)
    .sign(new TextEncoder().encode(secret));

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
await rejects(undefined);
await rejects('Bearer wrong');
await rejects(`Bearer ${encode({ alg: 'none' })}.${encode({ sub: 'ada', version: 0 })}.`);
await rejects(`Bearer ${await sign('another secret, also with more than 32 bytes', '1 h')}`);
await rejects(`Bearer ${await sign(process.env.SECRET, '-1 s')}`);
assert.equal((await fetch(`${origin}/token`, { method: 'POST' })).status, 400);

// The first fetch fails, and the second one returns something else: both are repeated.
const results = [() => Promise.reject(new Error('offline')), () => Promise.resolve({})];
let fetched = 0;
let authorization;
const renewing = bearer(() => {
  const result = results[fetched++];
  return result ? result() : fetchToken('ada');
});
const headers = async () => {
  const value = await renewing();
  ({ authorization } = value);
  return value;
};
const ada = await open(headers);
assert.deepEqual([ada.data, fetched], ['Hello ada', 3]);
let fetches = 0;
const shared = bearer(async () => ({ token: String(++fetches), expiresIn: 60 }));
const one = { authorization: 'Bearer 1' };
assert.deepEqual(await Promise.all([shared(), shared()]), [one, one]);
const old = authorization;

// Ada's page shows a new token after half of the lifetime. That of Ben keeps its token, and is closed at its end.
const ben = await open({ authorization: `Bearer ${(await fetchToken('ben')).token}` });
const benClosed = closeOf(ben.client);
showToken(ada.client, 20);
shift = 160_000;
await until(() => authorization !== old && ada.client.bufferedAmount === 0);
const renewed = fetched;
assert.equal(renewed, 4);
shift = 301_000;
assert.deepEqual([(await benClosed).code, fetched], [4401, 4]);
assert.equal(ada.client.readyState, SseClient.OPEN);

const second = await open(headers);
const closed = Promise.all([closeOf(ada.client), closeOf(second.client)]);
const signOut = await fetch(`${origin}/sign-out`, { method: 'POST', headers: { authorization } });
assert.equal(signOut.status, 204);
assert.deepEqual(
  (await closed).map(({ code, reason }) => [code, reason]),
  Array(2).fill([4401, 'signed out']),
);
await rejects(authorization); // although it has not expired
const again = await open({ authorization: `Bearer ${(await fetchToken('ada')).token}` });
assert.equal(again.data, 'Hello ada');
process.exit();
