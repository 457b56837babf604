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
import { speakHttp1, speakHttp2 } from './speak';
import type { Speak } from './speak';

export type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void;

export type Sse = SseMiddleware<unknown, unknown, IncomingMessage>;

export interface Framework {
  /** Runs the handlers one after the other; the channel is one of them. */
  serve(handlers: Handler[]): Server;
  speak: typeof speakHttp1;
}

const express4 = jest.requireActual<typeof express>('express4');

const tls = { key: certificate, cert: certificate };

const serveHttp2 = (handlers: Handler[]) =>
  createSecureServer({ ...tls, allowHTTP1: true }, inTurn(handlers) as never) as unknown as Server;

export const FRAMEWORKS: Record<string, Framework> = {
  'Express 5': {
    serve: (handlers) => createServer(express().use(...handlers)),
    speak: speakHttp1,
  },
  'Express 5, tuned': {
    serve: (handlers) => serveTuned(express().use(...handlers)),
    speak: speakHttp1,
  },
  'Express 4': {
    serve: (handlers) => createServer(express4().use(...handlers)),
    speak: speakHttp1,
  },
  'Connect 3': {
    serve(handlers) {
      const app = connect();
      for (const handler of handlers) app.use(handler);
      return createServer(app);
    },
    speak: speakHttp1,
  },
  'node:http': { serve: (handlers) => createServer(inTurn(handlers)), speak: speakHttp1 },
  'node:https': {
    serve: (handlers) => createTlsServer(tls, inTurn(handlers)),
    speak: speakHttp1,
  },
  'node:http2': { serve: serveHttp2, speak: speakHttp2 },
  'node:http2, pending in HTTP/1.1': { serve: serveHttp2, speak: speakHttp1 },
  'attach, with Express 5': {
    serve(handlers) {
      const server = createServer(express().use(...handlers));
      handlers.find(isChannel)?.attach(server);
      return server;
    },
    speak: speakHttp1,
  },
};

/** As docs/scaling.md has it. */
export function serveTuned(app: Express): Server {
  return runPageCode('docs/scaling.md', { app }, 'server') as Server;
}

/** Listens on a port of its own on the loopback; returns what speaks to it. */
export async function open({ serve, speak }: Framework, handlers: Handler[]): Promise<Speak> {
  const server = serve(handlers);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise((resolve) => server.close(resolve)));
  const { port } = server.address() as AddressInfo;
  const isSecure = 'setSecureContext' in server;
  return speak(`${isSecure ? 'https' : 'http'}://127.0.0.1:${port}`, certificate);
}

/** A channel that sends back what it gets, and ends when it is pending to. */
export function createEcho(path = '/sse'): Sse {
  const sse = createSse<IncomingMessage>({}, path);
  sse.on('connection', (connection) => {
    connection.on('message', (message) => {
      connection.send(message);
      if (message === 'end') connection.close(4000, 'as pending');
    });
  });
  return sse;
}

function isChannel(handler: Handler): handler is Sse {
  return 'attach' in handler;
}

/** What a server without a framework runs middlewares by. */
function inTurn(handlers: Handler[]): RequestListener {
  return (request, response) => {
    const run = (index: number, error?: unknown): void => {
      if (error !== undefined) return void response.writeHead(400).end((error as Error).stack);
      const handler = handlers[index];
      if (!handler) return void response.writeHead(404).end('nobody took it');
      handler(request, response, (fault) => run(index + 1, fault));
    };
    run(0);
  };
}
