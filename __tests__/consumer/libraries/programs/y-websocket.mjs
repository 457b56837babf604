import { setupWSConnection } from '@y/websocket-server/utils';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { run, until } from '../harness.mjs';
import { useDocuments } from '../scenarios.mjs';

await run(
  (wss) => {
    wss.on('connection', (socket, request) => setupWSConnection(socket, request));
  },
  async (url, SseWebSocket, goesOn) => {
    const options = { WebSocketPolyfill: SseWebSocket, disableBc: true };
    const docs = [new Y.Doc(), new Y.Doc()];
    const providers = docs.map((doc) => new WebsocketProvider(url, 'room-1', doc, options));
    await until(() => providers.every(({ synced }) => synced));
    return useDocuments(docs, goesOn);
  },
);
