import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import express from 'express';
import { createSseMiddleware } from 'sse-duplex';

const methods = {
  add: ({ a, b }) => a + b,
  async slow() {
    await sleep(60_000);
  },
};

const app = express();
const sse = createSseMiddleware('/sse');
app.use(sse);

sse.on('connection', (connection) => {
  connection.on('message', async (message) => {
    const { id, method, params } = message ?? {}; // a client may send anything, also null
    let response;
    try {
      if (!Object.hasOwn(methods, method))
        throw new Error(`unknown method ${JSON.stringify(method)}`);
      response = { id, result: await methods[method](params) };
    } catch (error) {
      response = { id, error: error.message };
    }
    connection.send(response);
  });
});

app.get('/rpc.mjs', (request, response) => {
  response.sendFile(fileURLToPath(new URL('rpc.mjs', import.meta.url)));
});
const page = fileURLToPath(new URL('index.html', import.meta.url));
app.get('/', (request, response) => response.sendFile(page));

const server = app.listen(process.env.PORT ?? 3000, (error) => {
  if (error) throw error;
  console.log(`Open http://localhost:${server.address().port}`);
});
