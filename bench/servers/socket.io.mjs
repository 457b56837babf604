import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { serve } from './serve.mjs';

const [transport] = process.argv.slice(2);

await serve(({ opened, closed, take }) => {
  const server = createServer();
  const io = new Server(server, { transports: [transport] });

  io.on('connection', (socket) => {
    opened();
    socket.on('message', (message) => take(message, (answer) => socket.send(answer)));
    socket.on('disconnect', closed);
  });

  return { server, broadcast: (message) => io.send(message) };
});
