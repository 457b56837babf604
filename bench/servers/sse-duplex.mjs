import { createServer } from 'node:http';
import express from 'express';
import { serve } from './serve.mjs';
import { createTunedServer } from './tuned.mjs';

const DIST = new URL('../../dist/', import.meta.url);
const [mount, build = DIST] = process.argv.slice(2);
const { createSseMiddleware } = await import(new URL('index.mjs', build));

await serve(({ onOpen, onClose, onMessage }) => {
  const sse = createSseMiddleware('/sse');

  sse.on('connection', (connection) => {
    onOpen();
    connection.on('message', (message) => onMessage(message, (reply) => connection.send(reply)));
    connection.on('close', onClose);
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
