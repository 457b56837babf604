import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Request } from 'express';
import {
  CLIENT_ID,
  ENVELOPE_ALLOWANCE,
  MESSAGE_ID,
  PROTOCOL,
  PROTOCOL_VERSION,
  parseLastEventId,
} from '../protocol/wire';
import { CloseCode, validateClose } from '../protocol/close-code';
import type { Envelope } from '../protocol/wire';
import { PreparedMessage } from './batch';
import { serveClientScript } from './serve-client';
import { diagnose } from './diagnostics';
import { dartDialect, duplexDialect } from './dialect';
import { emit } from './emit';
import { EVENT_STREAM_HEADERS, EventStreamResponse, isGone } from './event-stream-response';
import { Heartbeat } from './heartbeat';
import { resolveOptions } from './options';
import type { SseOptions } from './options';
import { CutBodyError, discardBody, readMessage } from './read-body';
import type { Body } from './read-body';
import { SseRequestError, sendJson } from './request-error';
import { RequestPolicy } from './request-policy';
import { Session, toJson } from './session';
import type { SessionKeeper } from './session';
import { SseConnection } from './sse-connection';

/** Longer names are refused: a client's own are 21 characters, Dart's up to 36, and a debug key. */
const MAX_ID_LENGTH = 256;
/** Characters kept of a client's close reason. */
const LONGEST_REASON = 123;
/** Seconds until a client that found no place should ask again. */
const RETRY_AFTER = 5;

/** Events of the middleware. */
export interface SseMiddlewareEvents<Incoming, Outgoing, Req> {
  /** A client opened a session. */
  connection: [connection: SseConnection<Incoming, Outgoing, Req>, request: Req];
  /**
   * A request was refused, through its peer's fault (Node http's word). For logs and counts; it was
   * answered already. Nobody listening is fine.
   */
  clientError: [error: SseRequestError, request: Req];
}

/** The sessions of a middleware, also those whose stream is lost and may come back. */
export interface SseConnections<Connection> extends Iterable<Connection> {
  readonly size: number;
  get(id: string): Connection | undefined;
}

/** Counts since the middleware was made, and what stands now. */
export interface SseStats {
  /** Sessions now. */
  connections: number;
  /** Those of them with a stream. */
  connected: number;
  /** Bytes sent that no socket has taken yet, of all sessions. */
  bufferedAmount: number;
  /** Sessions opened. */
  opened: number;
  /** Streams that continued a session. */
  resumed: number;
  /** Requests refused. */
  clientErrors: number;
}

/** What {@link createSseMiddleware} returns: goes into `app.use`. */
export interface SseMiddleware<Incoming, Outgoing, Req> {
  (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void): void;

  on<Event extends keyof SseMiddlewareEvents<Incoming, Outgoing, Req>>(
    event: Event,
    listener: (...values: SseMiddlewareEvents<Incoming, Outgoing, Req>[Event]) => void,
  ): this;
  once: this['on'];
  off: this['on'];

  readonly connections: SseConnections<SseConnection<Incoming, Outgoing, Req>>;

  /**
   * Sends a message to every connection, or to those that `filter` picks. It is serialised once.
   * Connections are never waited for: one that does not keep up is closed at `maxBufferedAmount`.
   *
   * @throws TypeError for what JSON has no form of.
   */
  broadcast(
    message: Outgoing,
    filter?: (connection: SseConnection<Incoming, Outgoing, Req>) => boolean,
  ): void;

  /**
   * Ends every session: each client gets what was sent before and then the code; new ones are turned
   * away. Settles when all are told or `drainTimeout` is over; `server.close()` then finishes.
   *
   * @param code 1012 (service restart) asks the clients to come back, each after a random delay; any
   * other ends them for good.
   * @throws RangeError for a code that may not be sent, or a reason over 123 bytes.
   */
  close(code?: number, reason?: string): Promise<void>;

  stats(): SseStats;

  /**
   * Takes the path's requests ahead of Express: faster, but no middleware runs for them (`authorize`
   * does), and `request` is Node's own. Call it when all other `request` listeners are there.
   */
  attach(server: EventEmitter): void;
}

/**
 * Makes the middleware that serves the channel at `path`: GET is a client's stream, POST carries its
 * messages, and `<path>/client.js` is the drop-in client. All else goes to `next()`.
 *
 * @typeParam Incoming what clients send. Believed, not checked: a client may send any JSON value.
 * @typeParam Outgoing what is sent to them.
 * @typeParam Req the request type; say `IncomingMessage` outside Express or with `attach`.
 * @param path where in the application, or in the router it is mounted in, such as `'/sse'`.
 * @throws TypeError or RangeError for a path or an option that is not valid.
 */
export function createSseMiddleware<
  Incoming = unknown,
  Outgoing = unknown,
  Req extends IncomingMessage = Request,
>(path: string, options: SseOptions<Req> = {}): SseMiddleware<Incoming, Outgoing, Req> {
  type Connection = SseConnection<Incoming, Outgoing, Req>;

  const endpoint = readPath(path);
  const settings = resolveOptions(options);
  const policy = new RequestPolicy(settings);
  const emitter = new EventEmitter();
  const sessions = new Map<string, Session>();
  const connections = new Map<string, Connection>();
  const counts = { opened: 0, resumed: 0, clientErrors: 0 };
  let closing = false;
  let onEmpty: (() => void) | undefined;

  const keeper: SessionKeeper = {
    path,
    settings,
    heartbeat: new Heartbeat(settings.heartbeatInterval),
    sessionClosed: ({ id, connection }) => {
      if (connections.get(id) === (connection as Connection)) connections.delete(id);
    },
    sessionGone: (session) => {
      if (sessions.get(session.id) === session) sessions.delete(session.id);
      if (sessions.size === 0) onEmpty?.();
    },
  };

  /** Returns false for a request that is not the channel's. */
  function serve(request: IncomingMessage, response: ServerResponse): boolean {
    const { url = '' } = request;
    if (!url.startsWith(endpoint)) return false;
    const queryAt = url.indexOf('?');
    const rest = url.slice(endpoint.length, queryAt < 0 ? undefined : queryAt);
    if (rest === '' || rest === '/') {
      const query = new URLSearchParams(queryAt < 0 ? '' : url.slice(queryAt + 1));
      void serveChannel(request, response, query);
      return true;
    }
    if (rest === '/client.js' && settings.clientScript) {
      serveClientScript(request, response);
      return true;
    }
    return false;
  }

  async function serveChannel(
    request: IncomingMessage,
    response: ServerResponse,
    query: URLSearchParams,
  ): Promise<void> {
    try {
      policy.admit(request, response);
      if (request.method === 'GET') await openStream(request, response, query);
      else if (request.method === 'POST') await takePost(request, response, query);
      else if (request.method === 'OPTIONS') policy.answerPreflight(request, response);
      else throw methodNotAllowed(request.method);
    } catch (error) {
      refuse(error, request, response);
    }
  }

  async function openStream(
    request: IncomingMessage,
    response: ServerResponse,
    query: URLSearchParams,
  ): Promise<void> {
    const id = readId(query);
    const dialect = readDialect(query);
    const principal = policy.isOpen ? undefined : await policy.authorize(request);
    if (isGone(response)) return; // left while `authorize` thought about it

    const lastEventId = request.headers['last-event-id'];
    const proof = typeof lastEventId === 'string' ? parseLastEventId(lastEventId) : undefined;
    const session = sessions.get(id);
    const isOwn =
      session?.dialect === dialect && proof && session.isProvedBy(proof.token, principal);
    if (session && isOwn && session.canResume(proof.received)) {
      counts.resumed++;
      const stream = new EventStreamResponse(response, session, dialect.headers);
      return session.attach(stream, proof.received);
    }

    if (dialect === duplexDialect && lastEventId !== undefined) throw unknownSession();
    if (session) {
      // A base client that lost its place, or whose EventSource gives no proof, starts anew.
      const mayReplace = session.dialect === dartDialect && (isOwn || !session.connected);
      if (dialect !== dartDialect || !mayReplace) throw sessionTaken();
      const reason = 'its client came back without what it takes to resume';
      session.drop({ code: CloseCode.abnormal, reason });
    }
    if (closing || sessions.size >= settings.maxConnections) {
      return turnAway(dialect === duplexDialect, response);
    }

    // The count of a base client goes on where an earlier session of it ended [dart].
    const goesOn = dialect === dartDialect && (session !== undefined || lastEventId !== undefined);
    const firstNumber = goesOn ? 'unknown' : 0;
    const opened = new Session(keeper, id, dialect, principal, request, firstNumber);
    const connection = opened.connection as unknown as Connection;
    sessions.set(id, opened);
    connections.set(id, connection);
    counts.opened++;
    opened.attach(new EventStreamResponse(response, opened, dialect.headers), 0);
    diagnose('sse-duplex:connect', {
      path,
      connection: opened.connection,
      dialect: dialect.name,
    });
    emit(emitter, 'connection', connection, request);
  }

  async function takePost(
    request: IncomingMessage,
    response: ServerResponse,
    query: URLSearchParams,
  ): Promise<void> {
    const id = readId(query);
    const number = readMessageId(query);
    const principal = policy.isOpen ? undefined : await policy.authorize(request);

    let body: Body;
    try {
      const { maxPayload, bodyTimeout } = settings;
      const isBase = sessions.get(id)?.dialect === dartDialect;
      const allowance = isBase ? 0 : ENVELOPE_ALLOWANCE;
      body = await readMessage(request, maxPayload, bodyTimeout, allowance);
    } catch (error) {
      const session = sessions.get(id);
      // A refused message was one all the same; one that was cut off will be sent again.
      const isOwn = session?.dialect === dartDialect && session.principal === principal;
      if (isOwn && !(error instanceof CutBodyError)) {
        if (number !== undefined) session.skip(number);
      }
      throw error;
    }

    // One answer for an unknown session, another's token and another principal: no oracle.
    const session = sessions.get(id);
    if (!session || session.principal !== principal) throw unknownSession();
    if (session.dialect === dartDialect) {
      sendJson(response, 200, session.receiveOne(number, body.value, body.size));
      return;
    }
    const envelope = readEnvelope(body.value);
    if (!session.isProvedBy(envelope.token, principal)) throw unknownSession();
    sendJson(response, 200, await session.receive(envelope, body.size));
  }

  function refuse(cause: unknown, request: IncomingMessage, response: ServerResponse): void {
    const error =
      cause instanceof SseRequestError
        ? cause
        : new SseRequestError('forbidden', 'not allowed', { cause }); // an `allowedOrigins` that threw
    counts.clientErrors++;
    diagnose('sse-duplex:client-error', { path, error });
    error.answer(response);
    discardBody(request, settings.bodyTimeout);
    emit(emitter, 'clientError', error, request);
  }

  function broadcast(message: Outgoing, filter?: (connection: Connection) => boolean): void {
    const shared = new PreparedMessage(toJson(message));
    for (const session of sessions.values()) {
      if (filter && !filter(session.connection as unknown as Connection)) continue;
      session.share(shared);
    }
  }

  async function close(code: number = CloseCode.serviceRestart, reason = ''): Promise<void> {
    const fault = validateClose(code, reason);
    if (fault) throw new RangeError(fault);
    closing = true;
    const end =
      code === CloseCode.serviceRestart
        ? { code, reason, retry: settings.reconnectJitter }
        : { code, reason };
    for (const session of [...sessions.values()]) {
      if (session.connected) session.end(end);
      else session.drop(end);
    }
    if (sessions.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, settings.drainTimeout).unref();
      const tellOther = onEmpty; // of an earlier call
      onEmpty = () => {
        tellOther?.();
        clearTimeout(timer);
        resolve();
      };
    });
    for (const session of [...sessions.values()]) session.drop(end);
  }

  function stats(): SseStats {
    let connected = 0;
    let bufferedAmount = 0;
    for (const { connection } of sessions.values()) {
      if (connection.connected) connected++;
      bufferedAmount += connection.bufferedAmount;
    }
    return { connections: connections.size, connected, bufferedAmount, ...counts };
  }

  function attach(server: EventEmitter): void {
    const listeners = server.listeners('request') as ((...values: unknown[]) => void)[];
    server.removeAllListeners('request');
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      if (serve(request, response)) return;
      for (const listener of listeners) listener.call(server, request, response);
    });
  }

  const middleware = ((request, response, next) => {
    if (!serve(request, response)) next();
  }) as SseMiddleware<Incoming, Outgoing, Req>;

  return Object.assign(middleware, {
    on: listenBy('on'),
    once: listenBy('once'),
    off: listenBy('off'),
    connections: {
      get size() {
        return connections.size;
      },
      get: (id: string) => connections.get(id),
      [Symbol.iterator]: () => connections.values(),
    },
    broadcast,
    close,
    stats,
    attach,
  });

  function listenBy(method: 'on' | 'once' | 'off'): typeof middleware.on {
    return (event, listener) => {
      emitter[method](event, listener as (...values: unknown[]) => void);
      return middleware;
    };
  }
}

/** @throws TypeError */
function readPath(path: string): string {
  if (typeof path !== 'string' || !/^\/[^?#*:()\s]*$/.test(path)) {
    throw new TypeError(`path must be a plain one such as "/sse", not ${JSON.stringify(path)}`);
  }
  return path.replace(/\/$/, '');
}

/** A parameter that is there once at most. */
function readParameter(query: URLSearchParams, name: string): string | undefined {
  const [value, second] = query.getAll(name);
  if (second !== undefined) {
    throw new SseRequestError(
      'bad-request',
      `the query parameter "${name}" is there more than once`,
    );
  }
  return value;
}

function readId(query: URLSearchParams): string {
  const id = readParameter(query, CLIENT_ID);
  if (id === undefined || id === '' || id.length > MAX_ID_LENGTH || CONTROL_CHARACTER.test(id)) {
    throw new SseRequestError(
      'bad-request',
      `the query parameter "${CLIENT_ID}" must name the session: 1 to ${MAX_ID_LENGTH} printable characters`,
    );
  }
  return id;
}
const CONTROL_CHARACTER = /\p{Cc}/u;

function readDialect(query: URLSearchParams) {
  const version = readParameter(query, PROTOCOL);
  if (version === undefined) return dartDialect;
  if (version === PROTOCOL_VERSION) return duplexDialect;
  throw new SseRequestError(
    'bad-request',
    `this server speaks ${PROTOCOL}=${PROTOCOL_VERSION}, not ${JSON.stringify(version.slice(0, 20))}`,
  );
}

/** Undefined where there is none: a duplex POST, or a Dart client before 3.6 [dart]. */
function readMessageId(query: URLSearchParams): number | undefined {
  const text = readParameter(query, MESSAGE_ID);
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text)) {
    throw new SseRequestError(
      'bad-request',
      `the query parameter "${MESSAGE_ID}" must be the message's number, counted from 0`,
    );
  }
  return Number(text);
}

function readEnvelope(value: unknown): Envelope {
  const { token, id, ack, messages, close } = (value ?? {}) as Partial<
    Record<keyof Envelope, unknown>
  >;
  const isEnvelope =
    typeof token === 'string' &&
    isCount(id) &&
    isCount(ack) &&
    Array.isArray(messages) &&
    (close === undefined || isClose(close));
  if (!isEnvelope) {
    throw new SseRequestError(
      'bad-request',
      'the body is not {"token", "id", "ack", "messages", "close"?} as PROTOCOL.md has it, ' +
        'or a body parser changed it: mount sse-duplex before body parsers',
    );
  }
  const end = close && { code: close.code, reason: close.reason.slice(0, LONGEST_REASON) };
  return { token, id, ack, messages, close: end };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isClose(value: unknown): value is { code: number; reason: string } {
  const { code, reason } = (value ?? {}) as Record<string, unknown>;
  return typeof reason === 'string' && validateClose(code, '') === undefined;
}

/** Tells a client that there is no place for it now. */
function turnAway(isDuplex: boolean, response: ServerResponse): void {
  if (isDuplex) {
    throw new SseRequestError(
      'service-unavailable',
      'no session can be opened now: come back later',
      {
        headers: { 'Retry-After': String(RETRY_AFTER) },
      },
    );
  }
  // A status that says so would end an EventSource for good [HTML §9.2.3].
  response.writeHead(200, EVENT_STREAM_HEADERS);
  response.end(`retry: ${RETRY_AFTER * 1000}\n\n`);
}

function unknownSession(): SseRequestError {
  return new SseRequestError(
    'unknown-session',
    'there is no such session here, or it is not yours: open a new one',
  );
}

function sessionTaken(): SseRequestError {
  return new SseRequestError(
    'session-conflict',
    `a session of this name exists: choose another "${CLIENT_ID}", or prove it with Last-Event-ID`,
  );
}

function methodNotAllowed(method = ''): SseRequestError {
  return new SseRequestError(
    'method-not-allowed',
    `${JSON.stringify(method)} is not served here: GET opens a stream, POST sends`,
    { headers: { Allow: 'GET, POST, OPTIONS' } },
  );
}
