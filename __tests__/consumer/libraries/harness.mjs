// Runs a library on both ends of the channel: `node <program> calm`, or `node <program> cut`, where every TCP
// connection is cut each 250 ms. Prints what happened as JSON.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, createServer as createTcpServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import { createSseMiddleware } from 'sse-duplex';
import { SseWebSocket } from 'sse-duplex/websocket';
import { SseWebSocketServer } from 'sse-duplex/ws';

const CUT_INTERVAL = 250;
const MIN_CUTS = 20;
const isCut = process.argv[2] === 'cut';

/**
 * @param serve starts the library's server: it gets the WebSocketServer, and the middleware.
 * @param use runs the library's client: it gets the URL of the middleware with the scheme ws, the class to use as
 * WebSocket, and a function that returns whether to go on. Its result is printed.
 */
export async function run(serve, use) {
  const sse = createSseMiddleware('/sse', { subpaths: true, maxPayload: 4_194_304 });
  const server = createServer(express().use(sse)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy = await startProxy(server.address().port);
  const ends = [];
  const wss = new SseWebSocketServer(sse);
  wss.on('connection', (socket) => {
    socket.on('close', (code) => ends.push(`server: ${code}`));
  });
  await serve(wss, sse);
  const Configured = SseWebSocket.with({ backoff: () => 10 });
  class ObservedWebSocket extends Configured {
    constructor(url, protocols) {
      super(url, protocols);
      this.addEventListener('error', ({ message }) => ends.push(`client error: ${message}`));
      this.addEventListener('close', ({ code }) => ends.push(`client: ${code}`));
    }
  }

  // At least 20 rounds in calm, and 20 cuts otherwise.
  let rounds = 0;
  const goesOn = () => {
    if (!isCut) return rounds++ < MIN_CUTS;
    proxy.start(); // a WebSocket that is cut before it is open fails, as the platform's does
    return proxy.cuts < MIN_CUTS;
  };
  const result = await use(`ws://127.0.0.1:${proxy.port}/sse`, ObservedWebSocket, goesOn);
  const { opened, resumed } = sse.stats();
  console.log(JSON.stringify({ result, cuts: proxy.cuts, ends, opened, resumed }));
  process.exit();
}

/** A TCP proxy that destroys all connections at intervals, once `start` was called. */
async function startProxy(targetPort) {
  const sockets = new Set();
  const proxy = createTcpServer((client) => {
    const server = connect(targetPort, '127.0.0.1');
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        server.destroy();
      });
    }
    client.pipe(server).pipe(client);
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  let timer;
  const state = {
    port: proxy.address().port,
    cuts: 0,
    start() {
      timer ??= setInterval(() => {
        if (sockets.size === 0) return;
        state.cuts++;
        for (const socket of sockets) socket.destroy();
      }, CUT_INTERVAL);
    },
  };
  return state;
}

/** Waits for a condition. */
export async function until(condition, milliseconds = 10_000) {
  for (const start = Date.now(); !(await condition()); await sleep(10)) {
    if (Date.now() - start > milliseconds) throw new Error(`not true in time: ${condition}`);
  }
}
