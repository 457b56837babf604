import { once } from 'node:events';
import { WebSocket } from 'ws';

export async function ws(origin, id, onMessages) {
  const socket = new WebSocket(origin.replace('http', 'ws'), { perMessageDeflate: false });
  socket.on('message', () => onMessages(1));
  await once(socket, 'open');
  return {
    send: (message) => new Promise((resolve) => socket.send(JSON.stringify(message), resolve)),
    async close() {
      socket.close();
    },
    cut: () => socket.terminate(),
  };
}
