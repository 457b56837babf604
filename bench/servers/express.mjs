import { createServer } from 'node:http';
import express from 'express';
import { serve } from './serve.mjs';
import { createTunedServer } from './tuned.mjs';

const isTuned = process.argv[2] === 'tuned';

await serve(({ onOpen, onClose, onMessage }) => {
  const clients = new Map();
  const app = express();

  app.get('/events', (request, response) => {
    response.set('Content-Type', 'text/event-stream').flushHeaders();
    clients.set(request.query.id, response);
    onOpen();
    response.on('close', () => {
      clients.delete(request.query.id);
      onClose();
    });
  });

  app.post('/events', express.json(), (request, response) => {
    onMessage(request.body, (message) => {
      clients.get(request.query.id).write(`data: ${JSON.stringify(message)}\n\n`);
    });
    response.sendStatus(200);
  });

  function broadcast(message) {
    const json = JSON.stringify(message);
    for (const response of clients.values()) response.write(`data: ${json}\n\n`);
  }
  return { server: isTuned ? createTunedServer(app) : createServer(app), broadcast };
});
