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
client.addEventListener(
  'disconnect',
  () => {
    client.send(null); // of another module
    send({ text: 'two' });
  },
  { once: true },
);
server.closeAllConnections();
await until(
  () => received.length === 4,
  () => received,
);
send({ text: 'three' });
await until(() => received.length === 5);
assert.deepEqual(received, ['1 join', '1 one', '2 join', '2 two', '2 three']);

assert.deepEqual(
  [isNew({}), isNew(null), isNew({}), isNew({ id: 1 }), isNew({ id: 1 })],
  Array(5).fill(true),
);
assert.deepEqual([isNew({ resendId: 'x' }), isNew({ resendId: 'x' })], [true, false]);
for (const id of ['a', 'b', 'c']) isNew({ resendId: id });
assert.equal(isNew({ resendId: 'x' }), true); // forgotten
await close();
