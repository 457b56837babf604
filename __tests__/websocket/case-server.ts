import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { WebSocketServer } from 'ws';
import { createSseMiddleware } from '../../lib/index';
import { SseWebSocketServer } from '../../lib/ws/index';
import { onTestFinished } from '../helpers/on-test-finished';

/** What both kinds of socket have. */
interface Socket {
  on(event: 'message', listener: (data: Buffer, isBinary: boolean) => void): unknown;
  send(data: Buffer | string, options?: { binary: boolean }): void;
  close(code?: number, reason?: string): void;
}

const parametersOf = ({ url }: IncomingMessage) => new URL(url!, 'http://localhost').searchParams;

/** Chooses the first subprotocol, unless the URL says otherwise. */
const handleProtocols = (protocols: Set<string>, request: IncomingMessage): string | false =>
  parametersOf(request).has('refuse') ? false : [...protocols][0]!;

/** Does what the URL says, and echoes. */
function serve(socket: Socket, request: IncomingMessage): void {
  const parameters = parametersOf(request);
  socket.on('message', (data, isBinary) => {
    if (String(data) === 'closes with 4001') socket.close(4001, 'asked');
    else if (String(data) !== 'unheard') socket.send(data, { binary: isBinary });
  });
  for (const message of parameters.getAll('send')) socket.send(message);
  const code = parameters.get('close');
  if (code === '') socket.close();
  else if (code !== null) socket.close(Number(code), parameters.get('reason') ?? '');
}

/** Starts a server with a WebSocket server of `ws` at `/ws/sse`, and one of this package at `/sse`. */
export async function openCaseServer(page = ''): Promise<{
  native: string;
  sse: string;
  page: string;
}> {
  const middleware = createSseMiddleware<never, never, IncomingMessage>('/sse', {
    drainTimeout: 100,
  });
  const app = express().use(middleware);
  app.get('/', (_request, response) => void response.type('html').send(page));
  const server = createServer(app);
  const native = new WebSocketServer({ server, path: '/ws/sse', handleProtocols });
  native.on('connection', serve);
  const own = new SseWebSocketServer(middleware, { handleProtocols });
  own.on('connection', (socket, request) => serve(socket as unknown as Socket, request));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    native.close();
    for (const client of native.clients) client.terminate();
    await middleware.close(1001);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  return {
    native: `ws://127.0.0.1:${port}/ws/sse`,
    sse: `ws://127.0.0.1:${port}/sse`,
    page: `http://127.0.0.1:${port}/`,
  };
}
