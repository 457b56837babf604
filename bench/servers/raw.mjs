import { createServer } from 'node:http';
import { serve } from './serve.mjs';

/** With `replay`, the server keeps what it sends, and sends it again to a client that reconnects. */
const keepsHistory = process.argv[2] === 'replay';
const frame = (message) => Buffer.from(`data: ${JSON.stringify(message)}\n\n`);

await serve(({ onOpen, onClose, onMessage }) => {
  const clients = new Map();
  const history = [];

  function openStream(request, response, id) {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.flushHeaders();
    clients.set(id, response);
    onOpen();
    response.on('close', () => {
      if (clients.get(id) === response) clients.delete(id);
      onClose();
    });
    const from = request.headers['last-event-id'];
    if (from !== undefined) for (const kept of history.slice(Number(from))) response.write(kept);
  }

  function receivePost(request, response, id) {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const message = JSON.parse(Buffer.concat(chunks).toString());
      onMessage(message, (reply) => clients.get(id).write(frame(reply)));
      response.end();
    });
  }

  const server = createServer((request, response) => {
    const id = request.url.slice(request.url.indexOf('=') + 1);
    if (request.method === 'POST') receivePost(request, response, id);
    else openStream(request, response, id);
  });

  function broadcast(message) {
    const buffer = frame(message); // one buffer for all clients
    if (keepsHistory) history.push(buffer);
    for (const response of clients.values()) response.write(buffer);
  }
  return { server, broadcast };
});
