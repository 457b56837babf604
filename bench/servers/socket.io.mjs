import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { serve } from './serve.mjs';

const [transport] = process.argv.slice(2);

await serve(({ onOpen, onClose, onMessage }) => {
  const server = createServer();
  const io = new Server(server, { transports: [transport] });

  io.on('connection', (socket) => {
    onOpen();
    socket.on('message', (message) => onMessage(message, (reply) => socket.send(reply)));
    socket.on('disconnect', onClose);
  });

  return { server, broadcast: (message) => io.send(message) };
});
