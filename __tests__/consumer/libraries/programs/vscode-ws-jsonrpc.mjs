import { createWebSocketConnection, toSocket } from 'vscode-ws-jsonrpc';
import { run } from '../harness.mjs';

await run(
  (wss) => {
    wss.on('connection', (socket) => {
      const connection = createWebSocketConnection(toSocket(socket), console);
      connection.onRequest('double', (n) => {
        void connection.sendNotification('doubled', n);
        return 2 * n;
      });
      connection.listen();
    });
  },
  async (url, SseWebSocket, goesOn) => {
    const webSocket = new SseWebSocket(url);
    await new Promise((resolve) => (webSocket.onopen = resolve));
    const connection = createWebSocketConnection(toSocket(webSocket), console);
    const notified = [];
    connection.onNotification('doubled', (n) => notified.push(n));
    connection.listen();
    let faults = 0;
    let count = 0;
    while (goesOn()) {
      if ((await connection.sendRequest('double', count)) !== 2 * count) faults++;
      count++;
    }
    if (notified.join() !== [...Array(count).keys()].join()) faults++;
    return { count, faults };
  },
);
