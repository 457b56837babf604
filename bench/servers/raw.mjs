import { createServer } from 'node:http';
import { serve } from './serve.mjs';

/** `replay`: keeps what it sends, and writes it again to a client that comes back. */
const keeps = process.argv[2] === 'replay';
const frame = (message) => Buffer.from(`data: ${JSON.stringify(message)}\n\n`);

await serve(({ opened, closed, take }) => {
  const clients = new Map();
  const history = [];

  function openStream(request, response, id) {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.flushHeaders();
    clients.set(id, response);
    opened();
    response.on('close', () => {
      if (clients.get(id) === response) clients.delete(id);
      closed();
    });
    const from = request.headers['last-event-id'];
    if (from !== undefined) for (const kept of history.slice(Number(from))) response.write(kept);
  }

  function takePost(request, response, id) {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const message = JSON.parse(Buffer.concat(chunks).toString());
      take(message, (answer) => clients.get(id).write(frame(answer)));
      response.end();
    });
  }

  const server = createServer((request, response) => {
    const id = request.url.slice(request.url.indexOf('=') + 1);
    if (request.method === 'POST') takePost(request, response, id);
    else openStream(request, response, id);
  });

  function broadcast(message) {
    const buffer = frame(message); // one for all
    if (keeps) history.push(buffer);
    for (const response of clients.values()) response.write(buffer);
  }
  return { server, broadcast };
});
