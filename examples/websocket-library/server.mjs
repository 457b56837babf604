import { fileURLToPath } from 'node:url';
import express from 'express';
import { setupWSConnection } from '@y/websocket-server/utils';
import { createSseMiddleware } from 'sse-duplex';
import { SseWebSocketServer } from 'sse-duplex/ws';

// The client adds the name of the document to the path: /sse/shopping.
const sse = createSseMiddleware('/sse', { subpaths: true, maxPayload: 4_194_304 });
const wss = new SseWebSocketServer(sse);
wss.on('connection', (socket, request) => setupWSConnection(socket, request));

const app = express();
app.use(sse);
app.use(express.static(fileURLToPath(new URL('public', import.meta.url))));

const server = app.listen(process.env.PORT ?? 3000, (error) => {
  if (error) throw error;
  console.log(`Open http://localhost:${server.address().port}`);
});
