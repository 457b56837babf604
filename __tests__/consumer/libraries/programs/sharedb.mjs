import WebSocketJSONStream from '@teamwork/websocket-json-stream';
import ShareDB from 'sharedb';
import { Connection } from 'sharedb/lib/client/index.js';
import { run, until } from '../harness.mjs';

await run(
  (wss) => {
    const backend = new ShareDB();
    wss.on('connection', (socket) => backend.listen(new WebSocketJSONStream(socket)));
  },
  async (url, SseWebSocket, goesOn) => {
    const docs = [0, 1].map(() => {
      const connection = new Connection(new SseWebSocket(url));
      return connection.get('numbers', 'one');
    });
    const call = (doc, method, ...values) =>
      new Promise((resolve, reject) => {
        doc[method](...values, (error) => (error ? reject(error) : resolve()));
      });
    await call(docs[0], 'create', { n: 0 });
    await Promise.all(docs.map((doc) => call(doc, 'subscribe')));
    let count = 0;
    while (goesOn()) {
      await Promise.all(docs.map((doc) => call(doc, 'submitOp', [{ p: ['n'], na: 1 }])));
      count++;
    }
    await until(() => docs.every(({ data }) => data.n === 2 * count));
    return { count, faults: 0 };
  },
);
