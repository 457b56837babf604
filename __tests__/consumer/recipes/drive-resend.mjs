import assert from 'node:assert/strict';
import { createFilter } from './ignore-known.mjs';
import { openChannel, until } from './harness.mjs';
import { sendSafely } from './resend.mjs';

const { sse, server, open, close } = await openChannel({ reconnectTimeout: 0 });
const isNew = createFilter(3);
const received = [];
let sessions = 0;
sse.on('connection', (connection) => {
  const session = ++sessions;
  connection.on('message', (message) => {
    if (message.join) received.push(`${session} join`);
    else if (isNew(message)) received.push(`${session} ${message.text}`);
  });
});
const { client } = await open();
const send = sendSafely(client, () => [{ join: 'room' }]);
send({ text: 'one' });
await until(() => received.length === 2);
// The session ends with the stream. What is sent meanwhile comes behind the rejoin.
client.addEventListener('disconnect', () => send({ text: 'two' }), { once: true });
server.closeAllConnections();
await until(
  () => received.length === 4,
  () => received,
);
send({ text: 'three' });
await until(() => received.length === 5);
assert.deepEqual(received, ['1 join', '1 one', '2 join', '2 two', '2 three']);

assert.deepEqual([isNew({}), isNew(null), isNew({})], [true, true, true]);
assert.deepEqual([isNew({ id: 'x' }), isNew({ id: 'x' })], [true, false]);
for (const id of ['a', 'b', 'c']) isNew({ id });
assert.equal(isNew({ id: 'x' }), true); // forgotten
await close();
