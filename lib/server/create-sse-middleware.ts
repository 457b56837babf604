import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Request } from 'express';
import { CloseCode } from '../protocol/close-code';
import { emit } from './emit';
import { Warnings, checkEvent, checkServer } from './mistakes';
import { interceptRequests, targetOf } from './node-http';
import { resolveOptions } from './options';
import type { SseOptions } from './options';
import type { SseRequestError } from './request-error';
import { RequestHandler } from './request-handler';
import { checkRoom } from './rooms';
import { serveClientScript } from './serve-client';
import { SessionRegistry } from './session-registry';
import type { SseConnections, SseStats } from './session-registry';
import type { SseConnection } from './sse-connection';

/** Events of the middleware: the arguments of their listeners. */
export interface SseMiddlewareEvents<Incoming, Outgoing, Req> {
  /**
   * A client opened a session with this GET request. In a cluster, also emitted when this node has taken a session
   * over: see {@link SseConnection.recovered}.
   */
  connection: [connection: SseConnection<Incoming, Outgoing, Req>, request: Req];
  /**
   * A request was rejected; the response has already been sent. Named after the event of Node's
   * `http.Server`. Without a listener it is ignored.
   */
  clientError: [error: SseRequestError, request: Req];
}

/** Options of {@link SseRoom.send} and {@link SseRoom.close}. */
export interface SseRoomOptions<Connection> {
  /** A member that is left out, such as the connection that the message came from. @default none */
  except?: Connection;
}

/** Sends to the members of a room, and closes them. Returned by `sse.to(room)`. */
export interface SseRoom<Outgoing, Connection> {
  /**
   * Sends a message to all members of the room at the time of the call. As with `broadcast`, the message is
   * serialised once, and a connection that exceeds `maxBufferedAmount` is closed with code 1008.
   *
   * @param message any JSON-serialisable value, or bytes.
   * @throws TypeError if the message is neither binary nor JSON-serialisable.
   */
  send(message: Outgoing, options?: SseRoomOptions<Connection>): void;

  /**
   * Closes the connections of all members of the room at the time of the call, as `connection.close` does: each
   * client receives everything that was sent before, then the code and the reason, and does not reconnect. If
   * a user signs out, make `authorize` reject the user first: a request that is authorized at the time of the call
   * can still open a new connection.
   *
   * @param code default 1000; 1000 to 1003 and 1007 to 1014 as RFC 6455 §7.4.1 defines them, or 3000 to
   * 4999 for the application's own.
   * @param reason default ''; at most 123 bytes of UTF-8.
   * @throws RangeError if the code or the reason is invalid; in this case no connection is closed.
   */
  close(code?: number, reason?: string, options?: SseRoomOptions<Connection>): void;
}

/** Sends to one session, and closes it. Returned by `sse.session(id)`. */
export interface SseSessionReference<Outgoing> {
  /**
   * Sends a message to the session if it exists; otherwise the message is discarded. In a cluster the session may
   * belong to any node.
   *
   * @param message any JSON-serialisable value, or bytes.
   * @throws TypeError if the message is neither binary nor JSON-serialisable.
   */
  send(message: Outgoing): void;

  /**
   * Closes the session, if it exists, as `connection.close` does. In a cluster the session may belong to any node.
   *
   * @param code see {@link SseRoom.close}.
   * @param reason see {@link SseRoom.close}.
   * @throws RangeError if the code or the reason is invalid.
   */
  close(code?: number, reason?: string): void;
}

/** Express middleware with an event API, returned by {@link createSseMiddleware}. */
export interface SseMiddleware<Incoming, Outgoing, Req> {
  /** Handles a request of the path, or calls `next`. */
  (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void): void;

  /** Adds a listener for an event of {@link SseMiddlewareEvents}. */
  on<Event extends keyof SseMiddlewareEvents<Incoming, Outgoing, Req>>(
    event: Event,
    listener: (...values: SseMiddlewareEvents<Incoming, Outgoing, Req>[Event]) => void,
  ): this;
  /** Adds a listener that is removed when it is called. */
  once<Event extends keyof SseMiddlewareEvents<Incoming, Outgoing, Req>>(
    event: Event,
    listener: (...values: SseMiddlewareEvents<Incoming, Outgoing, Req>[Event]) => void,
  ): this;
  /** Removes a listener. */
  off<Event extends keyof SseMiddlewareEvents<Incoming, Outgoing, Req>>(
    event: Event,
    listener: (...values: SseMiddlewareEvents<Incoming, Outgoing, Req>[Event]) => void,
  ): this;

  /**
   * The connections, including those whose stream is lost and that may be resumed. In a cluster, only those of this
   * node.
   */
  readonly connections: SseConnections<SseConnection<Incoming, Outgoing, Req>>;

  /**
   * Sends a message to all connections, or to those for which `filter` returns true. The message is
   * serialised once. Never waits for slow connections; a connection that exceeds `maxBufferedAmount`
   * is closed with code 1008.
   *
   * @param message any JSON-serialisable value, or bytes.
   * @param filter default: all connections. Not available in a cluster.
   * @throws TypeError if the message is neither binary nor JSON-serialisable, or for a filter in a cluster.
   */
  broadcast(
    message: Outgoing,
    filter?: (connection: SseConnection<Incoming, Outgoing, Req>) => boolean,
  ): void;

  /**
   * Returns an object that sends to the members of a room, or closes them: see `connection.join`.
   *
   * @param room any string but ''. A room exists as long as it has members.
   * @throws TypeError if the name of the room is not such a string.
   */
  to(room: string): SseRoom<Outgoing, SseConnection<Incoming, Outgoing, Req>>;

  /**
   * Returns an object that sends to the session with this id, or closes it.
   *
   * @param id as `connection.id`.
   * @throws TypeError if the id is not a string.
   */
  session(id: string): SseSessionReference<Outgoing>;

  /**
   * Closes all sessions and opens no new ones. Each client receives everything that was sent before,
   * then the code and the reason. `server.close()` can finish afterwards. In a cluster, with the default
   * code, the sessions are not closed: the other nodes take them over.
   *
   * @param code default 1012 (service restart), with which clients open a new session after a random
   * delay of up to `reconnectJitter`; with any other code they stay closed. 1000 to 1003 and 1007 to
   * 1014 as RFC 6455 §7.4.1 defines them, or 3000 to 4999 for the application's own.
   * @param reason default ''; at most 123 bytes of UTF-8.
   * @returns a promise that resolves when all sessions are closed, after `drainTimeout` milliseconds at
   * most. It rejects with a RangeError if the code or the reason is invalid; in this case nothing is closed.
   */
  close(code?: number, reason?: string): Promise<void>;

  /**
   * Chooses the subprotocol of a session, like the option of the same name of `ws`. Called for each GET that opens a
   * session and offers subprotocols, which are in the client's order of preference. Return one of them, or false for
   * none. An exception is passed to `next`.
   * @default undefined: no subprotocol is chosen
   */
  handleProtocols: ((protocols: Set<string>, request: Req) => string | false) | undefined;

  /**
   * Returns the present counts, in a cluster only those of this node. Takes time proportional to the number of
   * sessions.
   */
  stats(): SseStats;

  /**
   * Handles the requests of the path instead of the `request` listeners of `server`, and therefore before
   * Express: this is faster, but no middleware runs for these requests (`authorize` does), and `request`
   * is a plain `IncomingMessage`. The listeners receive all other requests. They may be added before or
   * after this call.
   *
   * @param server a server of `node:http`, `node:https` or `node:http2`.
   */
  attach(server: EventEmitter): void;
}

/**
 * Creates the middleware that serves a channel at `path`: a GET opens a client's stream, a POST carries
 * its messages, and `<path>/client.js` is the drop-in client. All other requests go to `next()`.
 *
 * @typeParam Incoming type of client messages. Not validated: a client may send any JSON value, or bytes.
 * @typeParam Outgoing type of the messages to clients.
 * @typeParam Req type of the request. Use `IncomingMessage` without Express, and with `attach`.
 * @param path of the channel, relative to where the middleware is mounted: for example `'/sse'`.
 * @param options see {@link SseOptions}.
 * @throws TypeError if the path, an option's name or an option's type is invalid.
 * @throws RangeError if an option is out of range.
 */
export function createSseMiddleware<
  Incoming = unknown,
  Outgoing = unknown,
  Req extends IncomingMessage = Request,
>(path: string, options: SseOptions<Req> = {}): SseMiddleware<Incoming, Outgoing, Req> {
  type Middleware = SseMiddleware<Incoming, Outgoing, Req>;

  const prefix = parsePath(path);
  const emitter = new EventEmitter();
  const registry = new SessionRegistry(path, resolveOptions(options), ({ connection }) =>
    emit(emitter, 'connection', connection, connection.request),
  );
  const warnings = new Warnings(path, registry.options.warnings);
  const handler = new RequestHandler(registry, emitter, warnings, (protocols, request) =>
    sse.handleProtocols?.(protocols, request as Req),
  );

  /** Returns false if the request is not for this channel. */
  function serve(
    request: IncomingMessage,
    response: ServerResponse,
    onError: (error: unknown) => void,
  ): boolean {
    const url = targetOf(request);
    if (!url.startsWith(prefix)) return false;
    const queryStart = url.indexOf('?');
    const rest = url.slice(prefix.length, queryStart < 0 ? undefined : queryStart);
    const { clientScript, subpaths } = registry.options;
    if (rest === '/client.js' && clientScript) {
      serveClientScript(request, response);
      return true;
    }
    if (rest === '' || rest === '/' || (subpaths && rest.startsWith('/'))) {
      const query = new URLSearchParams(queryStart < 0 ? '' : url.slice(queryStart + 1));
      void handler.handle(request, response, query, onError);
      return true;
    }
    return false;
  }

  function middleware(
    request: IncomingMessage,
    response: ServerResponse,
    next: (error?: unknown) => void,
  ): void {
    if (serve(request, response, next)) return;
    warnings.onPassed(request.url ?? '', (request as { originalUrl?: string }).originalUrl);
    next();
  }

  const members = {
    handleProtocols: undefined,
    on: listenWith('on'),
    once: listenWith('once'),
    off: listenWith('off'),
    connections: registry.connections,
    broadcast: registry.broadcast.bind(registry),
    to(room: string) {
      checkRoom(room);
      return {
        send: (message: unknown, { except }: SseRoomOptions<SseConnection> = {}) =>
          registry.sendToRoom(room, message, except),
        close: (
          code: number = CloseCode.normal,
          reason = '',
          { except }: SseRoomOptions<SseConnection> = {},
        ) => registry.closeRoom(room, { code, reason }, except),
      };
    },
    session(id: string) {
      if (typeof id !== 'string') throw new TypeError(`a session id is a string, not ${typeof id}`);
      return {
        send: (message: unknown) => registry.sendToSession(id, message),
        close: (code: number = CloseCode.normal, reason = '') =>
          registry.closeSession(id, { code, reason }),
      };
    },
    close: (code: number = CloseCode.serviceRestart, reason = '') => registry.close(code, reason),
    stats: () => registry.stats(),
    attach(server: EventEmitter): void {
      checkServer(server);
      interceptRequests(server, serve);
    },
  };
  // The registry does not know the application's types of messages and requests.
  const sse = Object.assign(middleware, members) as unknown as Middleware;
  return sse;

  function listenWith(method: 'on' | 'once' | 'off') {
    return (event: string, listener: (...values: unknown[]) => void) => {
      checkEvent(event);
      emitter[method](event, listener);
      return middleware;
    };
  }
}

/** Returns the path without a trailing slash. @throws TypeError if it is not a plain path. */
function parsePath(path: string): string {
  if (typeof path !== 'string' || !/^\/[^?#*:()\s]*$/.test(path)) {
    throw new TypeError(
      `path must be a plain path such as "/sse", without parameters or patterns, not ${JSON.stringify(path)}`,
    );
  }
  // Requests have the percent-encoded form.
  return new URL(path, 'http://localhost').pathname.replace(/\/$/, '');
}
