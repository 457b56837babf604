import assert from 'node:assert/strict';
import { SseClient } from 'sse-duplex/client';

process.env.SECRET = 'secret of the test';
process.env.PORT = process.argv[2];
const origin = `http://127.0.0.1:${process.env.PORT}`;
await import('./server-session.mjs');

const rejected = new SseClient(`${origin}/sse`);
rejected.onerror = () => {};
assert.equal((await new Promise((resolve) => (rejected.onclose = resolve))).code, 1006);

const wrong = [
  undefined,
  new URLSearchParams({ other: '1' }),
  new URLSearchParams('user=a&user=b'),
];
for (const body of wrong)
  assert.equal((await fetch(`${origin}/sign-in`, { method: 'POST', body })).status, 400);
assert.equal((await fetch(`${origin}/sign-out`, { method: 'POST' })).status, 204); // nobody is signed in

const body = new URLSearchParams({ user: 'Ada' });
const signIn = await fetch(`${origin}/sign-in`, { method: 'POST', body });
const cookie = signIn.headers.get('set-cookie').split(';')[0];
const client = new SseClient(`${origin}/sse`, { headers: { cookie } });
const { data } = await new Promise((resolve) => (client.onmessage = resolve));
assert.equal(data, 'Hello Ada');
const tab = new SseClient(`${origin}/sse`, { headers: { cookie } });
await new Promise((resolve) => (tab.onmessage = resolve));
const benSignIn = await fetch(`${origin}/sign-in`, {
  method: 'POST',
  body: new URLSearchParams({ user: 'Ben' }),
});
const headers = { cookie: benSignIn.headers.get('set-cookie').split(';')[0] };
const ben = new SseClient(`${origin}/sse`, { headers });
await new Promise((resolve) => (ben.onmessage = resolve));
const closed = new Promise((resolve) => (client.onclose = resolve));
const tabClosed = new Promise((resolve) => (tab.onclose = resolve));
await fetch(`${origin}/sign-out`, { method: 'POST', headers: { cookie } });
const { code, reason } = await closed;
assert.equal((await tabClosed).code, 4401);
assert.equal(ben.readyState, SseClient.OPEN);
assert.deepEqual([code, reason], [4401, 'signed out']);
const again = new SseClient(`${origin}/sse`, { headers: { cookie } });
again.onerror = () => {};
assert.equal((await new Promise((resolve) => (again.onclose = resolve))).code, 1006);
process.exit();
