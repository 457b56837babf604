import assert from 'node:assert/strict';
import { openChannel, until } from './harness.mjs';
import { bearer } from './token.mjs';

const seen = [];
const { sse, open, close } = await openChannel({
  authorize({ headers }) {
    seen.push(headers.authorization);
    return 'ada';
  },
});
const received = [];
sse.on('connection', (connection) => connection.on('message', (message) => received.push(message)));
let fetched = 0;
const lifetimes = [0, 3_600_000]; // the first token is about to expire
const { client } = await open({
  headers: bearer(async () => ({
    value: ++fetched,
    expiresAt: Date.now() + lifetimes[fetched - 1],
  })),
});
for (const message of [1, 2]) {
  client.send(message);
  await until(() => received.length === message);
}
assert.deepEqual(seen, ['Bearer 1', 'Bearer 2', 'Bearer 2']);
await close();
