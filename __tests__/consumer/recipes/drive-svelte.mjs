import assert from 'node:assert/strict';
import { channel } from './channel-store.mjs';
import { openChannel, until } from './harness.mjs';

const { sse, url, close } = await openChannel();
sse.on('connection', (connection) => {
  connection.on('message', (message) => connection.send(message));
});
const store = channel(url);
assert.equal(sse.connections.size, 0);
const values = [];
const unsubscribe = store.subscribe((value) => values.push(value));
store.send('hello');
store.send('hello'); // an equal message is a message too
await until(() => values.length === 3);
assert.deepEqual(values, [undefined, { data: 'hello' }, { data: 'hello' }]);
unsubscribe();
await until(() => sse.connections.size === 0);
await close();
