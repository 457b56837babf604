import assert from 'node:assert/strict';
import { SignJWT } from 'jose';
import { SseClient } from 'sse-duplex/client';

process.env.PORT = process.argv[2];
process.env.SECRET = 'a secret of the test, long enough';
await import('./server-token.mjs');

const sign = (lifetime, secret = process.env.SECRET) =>
  new SignJWT({ sub: 'ada' })
    .setProtectedHeader({ alg: 'HS256' })
    .setExpirationTime(Math.floor(Date.now() / 1000) + lifetime)
    .sign(new TextEncoder().encode(secret));
const open = (token) => {
  const headers = { authorization: `Bearer ${token}` };
  const client = new SseClient(`http://127.0.0.1:${process.env.PORT}/sse`, { headers });
  client.onerror = () => {};
  client.closed = new Promise((resolve) => (client.onclose = resolve));
  return client;
};

for (const token of ['', await sign(-10), await sign(10, 'another secret, which is long enough')]) {
  assert.equal((await open(token).closed).code, 1006);
}
const client = open(await sign(3));
client.send('hello');
const { data } = await new Promise((resolve) => (client.onmessage = resolve));
assert.deepEqual(data, { ada: 'hello' });
const { code, reason } = await client.closed; // without a new token
assert.deepEqual([code, reason], [4401, 'the token has expired']);
process.exit();
