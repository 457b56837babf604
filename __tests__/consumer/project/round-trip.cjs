'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { runInThisContext } = require('node:vm');

/** Sends a message and receives a reply, with the packaged client and with the one that the server serves. */
module.exports = async function roundTrip(express, createSseMiddleware, SseClient) {
  const app = express();
  const sse = createSseMiddleware('/sse');
  const closeCodes = [];
  app.use(sse);
  sse.on('connection', (connection) => {
    connection.on('message', ({ ask }) => connection.send({ answer: `${ask}!` }));
    connection.on('close', (code) => closeCodes.push(code));
  });

  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${server.address().port}/sse`;

  const script = await fetch(`${url}/client.js`);
  assert.equal(script.status, 200);
  assert.match(script.headers.get('content-type'), /^text\/javascript/);
  runInThisContext(await script.text());
  assert.notEqual(globalThis.SseClient, SseClient);

  for (const Client of [SseClient, globalThis.SseClient]) {
    const client = new Client(url);
    client.send({ ask: 'Does it arrive' });
    const [{ data }] = await once(client, 'message');
    assert.deepEqual(data, { answer: 'Does it arrive!' });

    client.close();
    const [{ code, wasClean }] = await once(client, 'close');
    assert.deepEqual({ code, wasClean }, { code: 1000, wasClean: true });
  }
  assert.deepEqual(closeCodes, [1000, 1000]);

  await sse.close();
  server.close();
  await once(server, 'close');
  console.log(`done on Node ${process.versions.node}`);
};
