import assert from 'node:assert/strict';
import { openChannel, until } from './harness.mjs';
import { withMessagePack } from './msgpack.mjs';

const { sse, open, close } = await openChannel();
sse.on('connection', (connection) => {
  const send = withMessagePack(connection, (value) => send(value));
});
const { client } = await open();
const values = [];
const send = withMessagePack(client, (value) => values.push(value));
const sent = {
  at: new Date(1_700_000_000_000),
  bytes: new Uint8Array([1, 2]),
  list: [1, null, 'ü'],
  map: new Map([[1, new Set(['a', new Map([['b', new Date(1)]])])]]),
  empty: [new Map(), new Set()],
};
send(sent);
await until(() => values.length === 1);
assert.deepEqual(values, [sent]);

client.send('text'); // is not MessagePack
const { code } = await new Promise((resolve) => (client.onclose = resolve));
assert.equal(code, 1007);
await close();
