import assert from 'node:assert/strict';
import { SseClient } from 'sse-duplex/client';

process.env.PORT = process.argv[2];
const origin = `http://127.0.0.1:${process.env.PORT}`;
await import('./server-session.mjs');

const rejected = new SseClient(`${origin}/sse`);
rejected.onerror = () => {};
assert.equal((await new Promise((resolve) => (rejected.onclose = resolve))).code, 1006);

const body = new URLSearchParams({ user: 'Ada' });
const signIn = await fetch(`${origin}/sign-in`, { method: 'POST', body });
const cookie = signIn.headers.get('set-cookie').split(';')[0];
const client = new SseClient(`${origin}/sse`, { headers: { cookie } });
const { data } = await new Promise((resolve) => (client.onmessage = resolve));
assert.equal(data, 'Hello Ada');
const closed = new Promise((resolve) => (client.onclose = resolve));
await fetch(`${origin}/sign-out`, { method: 'POST', headers: { cookie } });
const { code, reason } = await closed;
assert.deepEqual([code, reason], [4401, 'signed out']);
process.exit();
