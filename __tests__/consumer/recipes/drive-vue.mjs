import assert from 'node:assert/strict';
import { effectScope } from 'vue';
import { openChannel, until } from './harness.mjs';
import { useChannel } from './use-channel-vue.mjs';

const { sse, server, url, close } = await openChannel();
sse.on('connection', (connection) => {
  connection.on('message', (message) => connection.send(message));
});
const scope = effectScope();
const { state, messages, send } = scope.run(() => useChannel(url));
assert.equal(state.value, 'connecting');
await until(() => state.value === 'open');
send('hello');
await until(() => messages.value.length === 1);
assert.deepEqual([...messages.value], ['hello']);
server.closeAllConnections();
await until(() => state.value === 'connecting');
await until(() => state.value === 'open');
scope.stop();
await until(() => state.value === 'closed' && sse.connections.size === 0);
await close();
