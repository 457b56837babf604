import { HocuspocusProvider, HocuspocusProviderWebsocket } from '@hocuspocus/provider';
import { Hocuspocus } from '@hocuspocus/server';
import * as Y from 'yjs';
import { run, until } from '../harness.mjs';

await run(
  (wss) => {
    const hocuspocus = new Hocuspocus();
    wss.on('connection', (socket, request) => hocuspocus.handleConnection(socket, request));
  },
  async (url, SseWebSocket, goesOn) => {
    const docs = [new Y.Doc(), new Y.Doc()];
    let synced = 0;
    for (const document of docs) {
      const websocketProvider = new HocuspocusProviderWebsocket({
        url,
        WebSocketPolyfill: SseWebSocket,
      });
      const provider = new HocuspocusProvider({
        websocketProvider,
        name: 'document',
        document,
        onSynced: () => synced++,
      });
      provider.attach();
    }
    await until(() => synced === 2);
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
