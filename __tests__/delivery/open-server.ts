import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import type { Request } from 'express';
import { createSseMiddleware } from '../../lib/index';
import type { SseMiddleware, SseOptions } from '../../lib/index';

export interface OpenServer<Incoming, Outgoing> {
  sse: SseMiddleware<Incoming, Outgoing, Request>;
  server: Server;
  port: number;
  /** Closes the sessions, then the server. */
  close(): Promise<void>;
}

/** Starts an Express application with the middleware at `/sse`, on 127.0.0.1. */
export async function openServer<Incoming = unknown, Outgoing = unknown>(
  options: SseOptions<Request> = {},
  port = 0,
): Promise<OpenServer<Incoming, Outgoing>> {
  const sse = createSseMiddleware<Incoming, Outgoing>('/sse', options);
  const server = createServer(express().use(sse)).listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    sse,
    server,
    port: (server.address() as AddressInfo).port,
    async close() {
      await sse.close(1001);
      // Responses in flight get 1 s. Those that the proxy swallows would never end.
      setTimeout(() => server.closeAllConnections(), 1_000).unref();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
