import { HocuspocusProvider, HocuspocusProviderWebsocket } from '@hocuspocus/provider';
import { Hocuspocus } from '@hocuspocus/server';
import * as Y from 'yjs';
import { run, until } from '../harness.mjs';
import { useDocuments } from '../scenarios.mjs';

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
    return useDocuments(docs, goesOn);
  },
);
