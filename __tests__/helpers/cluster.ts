import { Agent, createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createSseMiddleware } from '../../lib/index';
import type { SseConnection, SseMiddleware, SseOptions } from '../../lib/index';
import type { ClusterEngine } from '../../lib/server/cluster-engine';

export type NodeConnection = SseConnection;

/** One node of a cluster in this process. */
export interface TestNode {
  sse: SseMiddleware<unknown, unknown, IncomingMessage>;
  server: Server;
  port: number;
  url: string;
  connections: NodeConnection[];
}

/** Starts a node. */
export async function startNode(
  engine: ClusterEngine | undefined,
  options: SseOptions = {},
): Promise<TestNode> {
  const sse = createSseMiddleware<unknown, unknown, IncomingMessage>('/sse', {
    ...options,
    ...(engine && { cluster: engine }),
  });
  const connections: NodeConnection[] = [];
  sse.on('connection', (connection) => connections.push(connection));
  const server = createServer((request, response) => {
    sse(request, response, () => response.writeHead(404).end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { sse, server, port, url: `http://127.0.0.1:${port}/sse`, connections };
}

/** Closes a node's server and all its connections. */
export async function stopNode({ server }: TestNode): Promise<void> {
  await new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
}

/** A reverse proxy without sticky sessions: `choose` picks the port for each request. */
export async function startBalancer(
  choose: (request: IncomingMessage) => number,
): Promise<{ url: string; stop(): Promise<void>; cut(): void }> {
  const agent = new Agent({ keepAlive: true });
  const server = createServer((request, response) => {
    const { method, headers, url: path } = request;
    const port = choose(request);
    const upstream = httpRequest({ host: '127.0.0.1', port, method, path, headers, agent });
    const fail = () => response.destroy();
    upstream.on('response', (from) => {
      response.writeHead(from.statusCode ?? 502, from.headers);
      response.flushHeaders();
      from.on('error', fail).on('aborted', fail).pipe(response);
    });
    upstream.on('error', fail);
    request.on('error', () => upstream.destroy()).pipe(upstream);
    response.on('close', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/sse`,
    cut: () => server.closeAllConnections(),
    stop: () =>
      new Promise((resolve) => {
        agent.destroy();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
