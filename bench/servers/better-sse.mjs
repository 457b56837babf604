import { createServer } from 'node:http';
import { createChannel, createSession } from 'better-sse';
import express from 'express';
import { serve } from './serve.mjs';

await serve(({ onOpen, onClose, onMessage }) => {
  const channel = createChannel();
  const sessions = new Map();
  const app = express();

  app.get('/events', async (request, response) => {
    const session = await createSession(request, response);
    sessions.set(request.query.id, session);
    channel.register(session);
    onOpen();
    session.on('disconnected', () => {
      sessions.delete(request.query.id);
      onClose();
    });
  });

  app.post('/events', express.json(), (request, response) => {
    onMessage(request.body, (message) => sessions.get(request.query.id).push(message));
    response.sendStatus(200);
  });

  return { server: createServer(app), broadcast: (message) => channel.broadcast(message) };
});
