import { createServer } from 'node:http';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import express from 'express';
import { serve } from './serve.mjs';

const notification = (params) => ({ jsonrpc: '2.0', method: 'message', params });

await serve(({ onOpen, onClose, onMessage }) => {
  const transports = new Map();
  const app = express();

  app.get('/sse', async (request, response) => {
    const transport = new SSEServerTransport('/messages', response);
    transports.set(transport.sessionId, transport);
    onOpen();
    transport.onmessage = ({ params }) => {
      onMessage(params, (message) => transport.send(notification(message)));
    };
    transport.onclose = () => {
      transports.delete(transport.sessionId);
      onClose();
    };
    await transport.start();
  });

  app.post('/messages', (request, response) => {
    return transports.get(request.query.sessionId).handlePostMessage(request, response);
  });

  function broadcast(message) {
    for (const transport of transports.values()) transport.send(notification(message));
  }
  return { server: createServer(app), broadcast };
});
