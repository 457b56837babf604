import { createServer } from 'node:http';
import sockjs from 'sockjs';
import { serve } from './serve.mjs';

await serve(({ onOpen, onClose, onMessage }) => {
  const connections = new Set();
  // By default a stream ends after 128 KiB, and the client has to open another one.
  const channel = sockjs.createServer({ log: () => {}, response_limit: Infinity });

  channel.on('connection', (connection) => {
    connections.add(connection);
    onOpen();
    connection.on('data', (text) => {
      onMessage(JSON.parse(text), (message) => connection.write(JSON.stringify(message)));
    });
    connection.on('close', () => {
      connections.delete(connection);
      onClose();
    });
  });

  const server = createServer();
  channel.installHandlers(server, { prefix: '/sockjs' });

  function broadcast(message) {
    const json = JSON.stringify(message);
    for (const connection of connections) connection.write(json);
  }
  return { server, broadcast };
});
