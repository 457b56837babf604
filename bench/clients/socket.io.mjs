import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { io } from 'socket.io-client';

export const socketIo = (transport) => async (origin, id, onMessages) => {
  const options = { transports: [transport], forceNew: true, reconnection: false };
  const socket = io(origin, options);
  socket.on('message', () => onMessages(1));
  await once(socket, 'connect');
  return {
    send(message) {
      socket.send(message);
      return nextTurn();
    },
    async close() {
      socket.disconnect();
    },
    cut: () => socket.disconnect(),
  };
};
