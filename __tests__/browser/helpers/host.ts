import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import express from 'express';
import type { Express, Request, RequestHandler } from 'express';
import { createSseMiddleware } from '../../../lib';
import type { SseConnection, SseMiddleware, SseOptions, SseRequestError } from '../../../lib';
import { onTestFinished } from '../../helpers/on-test-finished';
import { waitFor } from '../../helpers/wait-for';

type Connection = SseConnection<unknown, unknown, Request>;

/** A connection and its events. */
export interface Visit {
  readonly connection: Connection;
  readonly messages: unknown[];
  disconnects: number;
  reconnects: number;
  end?: { code: number; reason: string; unacknowledged: unknown[] };
}

/** A GET or POST that the channel received. */
export interface Call {
  readonly method: string;
  readonly id: string;
  readonly messageId: number;
  readonly lastEventId: string | undefined;
  readonly socket: Socket;
  /** Status of the response, when it is finished. */
  status?: number;
}

/** Returns messages with an index, and a text that JSON and the stream have to escape. */
export const compose = (name: string, count: number) =>
  Array.from({ length: count }, (_, index) => ({ [name]: index, text: 'ü\r\n"😀"'.repeat(20) }));

/** Adds a page with the drop-in client. */
export function addDropInPage(app: Express): void {
  app.get('/drop-in', (_request, response) => {
    response
      .type('html')
      .send('<!doctype html><title>page</title><script src="/sse/client.js"></script>');
  });
}

interface HostOptions extends SseOptions<Request> {
  /** Middleware that runs ahead of the channel for its requests. */
  ahead?: RequestHandler;
  /** Adds pages to the application. */
  pages?: (app: Express) => void;
  /** @default any free port */
  port?: number;
}

const TIMEOUT = 100_000;

/** An Express application with the channel at `/sse`, which records all requests and events. */
export class Host {
  readonly sse: SseMiddleware<unknown, unknown, Request>;
  readonly visits: Visit[] = [];
  readonly errors: SseRequestError[] = [];
  readonly calls: Call[] = [];
  /** Keeps its value after `close`. */
  port = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor({ ahead, pages, port: _, ...options }: HostOptions) {
    this.sse = createSseMiddleware('/sse', options);
    const app = express();
    this.#server = createServer(app);
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });

    app.use('/sse', (request, response, next) => {
      if (request.path !== '/') return next();
      const { sseClientId, messageId } = request.query;
      const call: Call = {
        method: request.method,
        id: sseClientId as string,
        messageId: Number(messageId),
        lastEventId: request.get('Last-Event-ID'),
        socket: request.socket,
      };
      this.calls.push(call);
      response.on('finish', () => {
        call.status = response.statusCode;
      });
      if (ahead) ahead(request, response, next);
      else next();
    });
    app.use(this.sse);
    app.get('/', (_request, response) => {
      response.type('html').send('<!doctype html><title>page</title>');
    });
    pages?.(app);

    this.sse.on('clientError', (error) => this.errors.push(error));
    this.sse.on('connection', (connection) => {
      const visit: Visit = { connection, messages: [], disconnects: 0, reconnects: 0 };
      this.visits.push(visit);
      connection.on('message', (message) => visit.messages.push(message));
      connection.on('disconnect', () => visit.disconnects++);
      connection.on('reconnect', () => visit.reconnects++);
      connection.on('close', (code, reason, { unacknowledged }) => {
        visit.end = { code, reason, unacknowledged };
      });
    });
  }

  static async open(options: HostOptions = {}): Promise<Host> {
    const host = new Host(options);
    host.#server.listen(options.port ?? 0, '127.0.0.1');
    await once(host.#server, 'listening');
    host.port = (host.#server.address() as AddressInfo).port;
    onTestFinished(() => host.close());
    return host;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Waits for a condition with a long timeout. */
  waitFor(condition: () => boolean): Promise<void> {
    return waitFor(condition, TIMEOUT);
  }

  /** Waits for the connection with this index, from 0. */
  async visit(index = 0): Promise<Visit> {
    await this.waitFor(() => this.visits.length > index);
    return this.visits[index]!;
  }

  /** Returns the GETs with this session id. */
  gets(id: string): Call[] {
    return this.calls.filter((call) => call.method === 'GET' && call.id === id);
  }

  /** The message numbers of the POSTs, in order of arrival. */
  get posts(): number[] {
    return this.calls.filter(({ method }) => method === 'POST').map((call) => call.messageId);
  }

  /** Resets the socket of the connection's latest stream. */
  cut({ id }: Connection): void {
    this.gets(id).at(-1)!.socket.resetAndDestroy();
  }

  /** Resets all sockets, including idle ones. */
  cutAll(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Discards everything that is written to that socket from now on. */
  swallow({ id }: Connection): void {
    this.gets(id).at(-1)!.socket.write = () => true;
  }

  /** Closes the server and all its connections at once, as if the process were killed. */
  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}
