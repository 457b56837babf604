import { setupWSConnection } from '@y/websocket-server/utils';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { run, until } from '../harness.mjs';

await run(
  (wss) => {
    wss.on('connection', (socket, request) => setupWSConnection(socket, request));
  },
  async (url, SseWebSocket, goesOn) => {
    const options = { WebSocketPolyfill: SseWebSocket, disableBc: true };
    const docs = [new Y.Doc(), new Y.Doc()];
    const providers = docs.map((doc) => new WebsocketProvider(url, 'room-1', doc, options));
    await until(() => providers.every(({ synced }) => synced));
    const [a, b] = docs.map((doc) => doc.getArray('list'));
    let count = 0;
    while (goesOn()) {
      a.push([`a${count}`]);
      b.push([`b${count}`]);
      count++;
      await until(() => a.length === 2 * count && b.length === 2 * count);
    }
    const expected = [...Array(count).keys()].flatMap((n) => [`a${n}`, `b${n}`]).sort();
    const isEqual = a.toArray().join() === b.toArray().join();
    const isComplete = a.toArray().sort().join() === expected.join();
    return { count, faults: isEqual && isComplete ? 0 : 1 };
  },
);
