import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { CloseCode } from '../protocol/close-code';
import type { SseMiddleware } from '../server/create-sse-middleware';
import { MOVED, SseServerSocket } from './socket';
import type { AnyConnection } from './socket';

/** Options of {@link SseWebSocketServer}. */
export interface SseWebSocketServerOptions<Req = IncomingMessage> {
  /**
   * Chooses one of the subprotocols that a client offers, which are in its order of preference; false for none. The
   * option is read for each client, so that a library may set it later.
   * @default the first one
   */
  handleProtocols?: (protocols: Set<string>, request: Req) => string | false;
  /** Whether {@link SseWebSocketServer.clients} contains the sockets. @default true */
  clientTracking?: boolean;
}

/** Events of an {@link SseWebSocketServer}: the arguments of their listeners. */
export interface SseWebSocketServerEvents<Req> {
  /** A client has opened a connection with this GET request. */
  connection: [socket: SseServerSocket, request: Req];
  /** The server and all its sockets are closed. */
  close: [];
  /** Never emitted. */
  error: [error: Error];
}

/**
 * The clients of a middleware, with the interface of a WebSocketServer of the package `ws`, for libraries that were
 * written for it. See docs/websocket-libraries.md.
 */
export class SseWebSocketServer<Req extends IncomingMessage = IncomingMessage> extends EventEmitter<
  SseWebSocketServerEvents<Req>
> {
  /** The options, which may be changed. */
  readonly options: SseWebSocketServerOptions<Req>;
  /** The sockets that are not closed. Empty without `clientTracking`. */
  readonly clients = new Set<SseServerSocket>();
  /** Number of sockets that are not closed. */
  #open = 0;
  #isClosed = false;

  /**
   * @param sse a middleware that is used for nothing else: its `handleProtocols` is replaced.
   */
  constructor(
    sse: Pick<SseMiddleware<never, never, Req>, 'on' | 'handleProtocols'>,
    options: SseWebSocketServerOptions<Req> = {},
  ) {
    super();
    this.options = { ...options };
    sse.handleProtocols = (protocols, request) => {
      const { handleProtocols } = this.options;
      return handleProtocols ? handleProtocols(protocols, request) : ([...protocols][0] ?? false);
    };
    sse.on('connection', (connection, request) => this.#onConnection(connection as never, request));
  }

  /**
   * Accepts no more connections. Those that exist stay open, as with `ws`: close them too, or call `sse.close()`.
   *
   * @param callback is called when the last one is closed, or with an error if the server is closed already.
   */
  close(callback?: (error?: Error) => void): void {
    if (this.#isClosed) {
      if (callback) process.nextTick(callback, new Error('the server is closed already'));
      return;
    }
    this.#isClosed = true;
    if (callback) this.once('close', () => callback());
    if (this.#open === 0) process.nextTick(() => this.emit('close'));
  }

  #onConnection(connection: AnyConnection, request: Req): void {
    // The library's state of the connection was in the memory of the other node.
    if (connection.recovered) {
      return connection.close(CloseCode.serviceRestart, MOVED);
    }
    if (this.#isClosed) return connection.close(CloseCode.goingAway);
    const socket = new SseServerSocket(connection);
    if (this.options.clientTracking !== false) this.clients.add(socket);
    this.#open++;
    socket.on('close', () => {
      this.clients.delete(socket);
      this.#open--;
      if (this.#isClosed && this.#open === 0) process.nextTick(() => this.emit('close'));
    });
    this.emit('connection', socket, request);
  }
}
