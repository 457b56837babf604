import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { createSecureServer } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import connect from 'connect';
import express from 'express';
import type { Express } from 'express';
import type { SseMiddleware } from '../../lib/index';
import { certificate } from '../helpers/certificate';
import { createSse } from '../helpers/channel';
import { onTestFinished } from '../helpers/on-test-finished';
import { runPageCode } from '../helpers/page-code';
import { connectHttp1, connectHttp2 } from './http-client';
import type { Send } from './http-client';

export type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void;

export type Sse = SseMiddleware<unknown, unknown, IncomingMessage>;

export interface Framework {
  /** Creates a server that runs the handlers in order. One of them is the channel. */
  serve(handlers: Handler[]): Server;
  connect: typeof connectHttp1;
}

const express4 = jest.requireActual<typeof express>('express4');

const tls = { key: certificate, cert: certificate };

const serveHttp2 = (handlers: Handler[]) =>
  createSecureServer({ ...tls, allowHTTP1: true }, inTurn(handlers) as never) as unknown as Server;

export const FRAMEWORKS: Record<string, Framework> = {
  'Express 5': {
    serve: (handlers) => createServer(express().use(...handlers)),
    connect: connectHttp1,
  },
  'Express 5 with the prototypes of docs/scaling.md': {
    serve: (handlers) => serveTuned(express().use(...handlers)),
    connect: connectHttp1,
  },
  'Express 4': {
    serve: (handlers) => createServer(express4().use(...handlers)),
    connect: connectHttp1,
  },
  'Connect 3': {
    serve(handlers) {
      const app = connect();
      for (const handler of handlers) app.use(handler);
      return createServer(app);
    },
    connect: connectHttp1,
  },
  'node:http': { serve: (handlers) => createServer(inTurn(handlers)), connect: connectHttp1 },
  'node:https': {
    serve: (handlers) => createTlsServer(tls, inTurn(handlers)),
    connect: connectHttp1,
  },
  'node:http2': { serve: serveHttp2, connect: connectHttp2 },
  'node:http2 with an HTTP/1.1 client': { serve: serveHttp2, connect: connectHttp1 },
  'attach, with Express 5': {
    serve(handlers) {
      const server = createServer(express().use(...handlers));
      handlers.find(isChannel)?.attach(server);
      return server;
    },
    connect: connectHttp1,
  },
};

/** Creates the server that docs/scaling.md describes. */
export function serveTuned(app: Express): Server {
  return runPageCode('docs/scaling.md', { app }, 'server') as Server;
}

/** Starts the server and returns a function that sends requests to it. */
export async function open(
  { serve, connect: connectTo }: Framework,
  handlers: Handler[],
): Promise<Send> {
  const server = serve(handlers);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise((resolve) => server.close(resolve)));
  const { port } = server.address() as AddressInfo;
  const isSecure = 'setSecureContext' in server;
  return connectTo(`${isSecure ? 'https' : 'http'}://127.0.0.1:${port}`, certificate);
}

/** Creates a channel that echoes messages, and closes the connection after the message `end`. */
export function createEcho(path = '/sse'): Sse {
  const sse = createSse<IncomingMessage>({}, path);
  sse.on('connection', (connection) => {
    connection.on('message', (message) => {
      connection.send(message);
      if (message === 'end') connection.close(4000, 'requested');
    });
  });
  return sse;
}

function isChannel(handler: Handler): handler is Sse {
  return 'attach' in handler;
}

/** Runs middleware without a framework. */
function inTurn(handlers: Handler[]): RequestListener {
  return (request, response) => {
    const run = (index: number, error?: unknown): void => {
      if (error !== undefined) return void response.writeHead(400).end((error as Error).stack);
      const handler = handlers[index];
      if (!handler) return void response.writeHead(404).end('not found');
      handler(request, response, (nextError) => run(index + 1, nextError));
    };
    run(0);
  };
}
