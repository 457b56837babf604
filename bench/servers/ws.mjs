import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { serve } from './serve.mjs';

await serve(({ onOpen, onClose, onMessage }) => {
  const server = createServer();
  const channel = new WebSocketServer({ server });

  channel.on('connection', (socket) => {
    onOpen();
    socket.on('message', (bytes) => {
      onMessage(JSON.parse(bytes.toString()), (message) => socket.send(JSON.stringify(message)));
    });
    socket.on('close', onClose);
  });

  function broadcast(message) {
    const json = JSON.stringify(message);
    for (const socket of channel.clients) socket.send(json);
  }
  return { server, broadcast };
});
