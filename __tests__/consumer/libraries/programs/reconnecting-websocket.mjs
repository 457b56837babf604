import ReconnectingWebSocket from 'reconnecting-websocket';
import { run, until } from '../harness.mjs';

await run(
  (wss) => {
    wss.on('connection', (socket) => {
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    });
  },
  async (url, SseWebSocket, goesOn) => {
    const socket = new ReconnectingWebSocket(url, [], { WebSocket: SseWebSocket });
    const received = [];
    socket.addEventListener('message', ({ data }) => received.push(data));
    let count = 0;
    while (goesOn()) {
      socket.send(`message ${count++}`);
      await until(() => received.length === count);
    }
    const expected = [...Array(count).keys()].map((n) => `message ${n}`);
    return { count, faults: received.join() === expected.join() ? 0 : 1 };
  },
);
