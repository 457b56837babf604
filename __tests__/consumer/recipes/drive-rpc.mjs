import assert from 'node:assert/strict';
import { openChannel, until } from './harness.mjs';
import { Rpc } from './rpc.mjs';

const { sse, server, open, close } = await openChannel();
let serverRpc;
sse.on('connection', (connection) => {
  serverRpc = new Rpc(connection, {
    add: ({ a, b }) => a + b,
    async fail() {
      throw new Error('out of paper');
    },
    failOddly: () => Promise.reject(undefined),
    bigint: () => 1n,
    never: () => new Promise(() => {}),
  });
});
const { client } = await open();
for (const message of [
  null,
  1,
  [],
  {},
  { id: {} },
  { id: 1, error: {} },
  { method: null },
  { method: 'add' },
])
  client.send(message); // ends nothing and answers nothing
const rpc = new Rpc(client, { name: () => 'a page' });
assert.equal(await rpc.call('add', { a: 1, b: 2 }), 3);
assert.equal(await serverRpc.call('name'), 'a page');
await assert.rejects(rpc.call('fail'), /out of paper/);
await assert.rejects(rpc.call('failOddly'), /undefined/);
await assert.rejects(rpc.call('bigint'), /BigInt/);
await assert.rejects(rpc.call('toString'), /unknown method toString/);
await assert.rejects(rpc.call('never', null, 20), /no response to never in 20 ms/);
server.closeAllConnections(); // the request survives a dropped connection
assert.equal(await rpc.call('add', { a: 3, b: 4 }), 7);
const pending = rpc.call('never');
const pendingAtServer = serverRpc.call('never-answered');
await Promise.all([
  assert.rejects(pending, /the session has ended/),
  assert.rejects(pendingAtServer, /unknown method never-answered/),
  new Promise((resolve) => setTimeout(resolve, 100)).then(() => client.close()),
]);
await assert.rejects(rpc.call('add'), /cannot send/);
await close();

// A response of a lost session does not answer a request of the next one, although both have the same number.
const losing = await openChannel({ reconnectTimeout: 0 });
let requests;
losing.sse.on('connection', (connection) => (requests = new Rpc(connection)));
const { client: page } = await losing.open();
let answer;
new Rpc(page, { late: () => new Promise((resolve) => (answer = resolve)) });
const first = requests.call('late');
await until(() => answer);
const answerFirst = answer;
losing.server.closeAllConnections();
await assert.rejects(first, /the session has ended/);
await new Promise((resolve) => page.addEventListener('open', resolve, { once: true }));
const second = requests.call('late');
await until(() => answer !== answerFirst);
answerFirst('to the first');
answer('to the second');
assert.equal(await second, 'to the second');
await losing.close();
