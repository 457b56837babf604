import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server, ServerOptions } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import type { Express, Request } from 'express';
import { createSseMiddleware } from '../../lib/index';
import type { SseConnection, SseMiddleware, SseOptions } from '../../lib/index';
import { onTestFinished } from './on-test-finished';
import { openStream, post } from './http';
import type { RawStream, Reply } from './http';
import { waitFor } from './wait-for';

/** Starts a server on a free port of 127.0.0.1. It is closed when the test is finished. */
export async function listen(
  handler: RequestListener,
  options: ServerOptions = {},
): Promise<{ server: Server; origin: string }> {
  const server = createServer(options, handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  );
  return { server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

export type Connection = SseConnection<unknown, unknown, Request>;

export interface Channel {
  sse: SseMiddleware<unknown, unknown, Request>;
  server: Server;
  /** URL of the middleware. */
  url: string;
  /** All connections so far, in order. */
  connections: Connection[];
}

/** True in the `attached` project of jest.config.js, where `attach` puts the channel ahead of Express. */
const { IS_ATTACHED = false } = globalThis as { IS_ATTACHED?: boolean };

/**
 * Creates a middleware whose sessions end with the test. Otherwise they would time out during another
 * test, which may count events of the whole process.
 */
export function createSse<Req extends IncomingMessage = Request>(
  options: SseOptions<Req> = {},
  path = '/sse',
): SseMiddleware<unknown, unknown, Req> {
  const sse = createSseMiddleware<unknown, unknown, Req>(path, {
    warnings: false,
    ...options,
  });
  const connections: SseConnection<unknown, unknown, Req>[] = [];
  sse.on('connection', (connection) => connections.push(connection));
  onTestFinished(async () => {
    await waitFor(() => sse.stats().connected === 0); // follows the end of the server
    await sse.close();
    // A connection with unread messages would emit `close` up to 30 s later.
    for (const connection of connections) {
      connection.on('message', () => {});
      connection.resume();
    }
  });
  return sse;
}

/**
 * Starts an Express application with the middleware.
 *
 * @param prepare adds middleware ahead of it. If given, the channel is never attached.
 */
export async function openChannel(
  options: SseOptions<Request> = {},
  prepare?: (app: Express) => void,
): Promise<Channel> {
  const sse = createSse(options);
  const app = express();
  prepare?.(app);
  app.use(sse);
  const connections: Connection[] = [];
  sse.on('connection', (connection) => connections.push(connection));
  const { server, origin } = await listen(app);
  if (IS_ATTACHED && !prepare) sse.attach(server);
  return { sse, server, url: `${origin}/sse`, connections };
}

/** Returns the URL of a session in the Dart dialect. */
export function addressOf(url: string, id: string, messageId?: number): string {
  const number = messageId === undefined ? '' : `&messageId=${messageId}`;
  return `${url}?sseClientId=${encodeURIComponent(id)}${number}`;
}

export interface HelloData {
  token: string;
  resumed: boolean;
  sent: number;
  received: number;
}

export interface DuplexClient {
  stream: RawStream;
  hello: HelloData;
  token: string;
  /** Sends an envelope. Missing fields are 0 or empty. */
  post(envelope?: {
    token?: string;
    id?: number;
    ack?: number;
    messages?: unknown[];
    binary?: unknown;
    close?: { code: number; reason: string };
  }): Promise<Reply & { json: unknown }>;
  /** Opens another stream of the session. */
  resume(received: number): Promise<RawStream>;
}

/** Opens a duplex session without using `SseClient`. */
export async function openDuplex(
  url: string,
  id = 'a',
  headers: Record<string, string> = {},
): Promise<DuplexClient> {
  const address = `${addressOf(url, id)}&sseProtocol=2`;
  const stream = await openStream(address, headers);
  const hello = (await stream.takeData()) as HelloData;
  const { token } = hello;
  return {
    stream,
    hello,
    token,
    post: (envelope) =>
      post(
        addressOf(url, id),
        JSON.stringify({ token, id: 0, ack: 0, messages: [], ...envelope }),
        headers,
      ),
    resume: (received) =>
      openStream(address, { ...headers, 'Last-Event-ID': `${token}.${received}` }),
  };
}

/** Records the arguments of each event of one type, without the details of messages. */
export function record(
  emitter: { on(event: never, listener: (...values: never[]) => void): unknown },
  event: string,
): unknown[][] {
  const calls: unknown[][] = [];
  const count = event === 'message' ? 1 : Infinity;
  emitter.on(event as never, (...values: unknown[]) => calls.push(values.slice(0, count)));
  return calls;
}
