import { createServer } from 'node:http';
import express from 'express';
import { createSseMiddleware } from '../../dist/index.mjs';
import { serve } from './serve.mjs';
import { createTunedServer } from './tuned.mjs';

const [mount] = process.argv.slice(2);

await serve(({ opened, closed, take }) => {
  const sse = createSseMiddleware('/sse');

  sse.on('connection', (connection) => {
    opened();
    connection.on('message', (message) => take(message, (answer) => connection.send(answer)));
    connection.on('close', closed);
  });

  function open() {
    if (mount === 'express') return createServer(express().use(sse));
    if (mount === 'tuned') return createTunedServer(express().use(sse));
    const server = createServer();
    sse.attach(server);
    return server;
  }
  return { server: open(), broadcast: (message) => sse.broadcast(message) };
});
