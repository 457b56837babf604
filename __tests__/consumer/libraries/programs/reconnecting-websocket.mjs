import ReconnectingWebSocket from 'reconnecting-websocket';
import { run } from '../harness.mjs';
import { serveEcho, useEcho } from '../scenarios.mjs';

await run(serveEcho, (url, SseWebSocket, goesOn) => {
  const socket = new ReconnectingWebSocket(url, [], { WebSocket: SseWebSocket });
  return useEcho(socket, goesOn);
});
