import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { serve } from './serve.mjs';

await serve(({ opened, closed, take }) => {
  const server = createServer();
  const channel = new WebSocketServer({ server });

  channel.on('connection', (socket) => {
    opened();
    socket.on('message', (bytes) => {
      take(JSON.parse(bytes.toString()), (message) => socket.send(JSON.stringify(message)));
    });
    socket.on('close', closed);
  });

  function broadcast(message) {
    const json = JSON.stringify(message);
    for (const socket of channel.clients) socket.send(json);
  }
  return { server, broadcast };
});
