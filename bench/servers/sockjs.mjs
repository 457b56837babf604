import { createServer } from 'node:http';
import sockjs from 'sockjs';
import { serve } from './serve.mjs';

await serve(({ opened, closed, take }) => {
  const connections = new Set();
  // Without a limit: else a stream ends after 128 KiB, and the client asks for another.
  const channel = sockjs.createServer({ log: () => {}, response_limit: Infinity });

  channel.on('connection', (connection) => {
    connections.add(connection);
    opened();
    connection.on('data', (text) => {
      take(JSON.parse(text), (message) => connection.write(JSON.stringify(message)));
    });
    connection.on('close', () => {
      connections.delete(connection);
      closed();
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
