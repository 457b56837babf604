/**
 * Everything that depends on how Node implements HTTP/1.1 and HTTP/2, and on what middleware ahead of
 * this package does to requests and responses.
 */
import type { EventEmitter } from 'node:events';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import type { EventStream, EventStreamOwner } from './event-stream';
import { Deadline } from './deadline';
import { parsedBody } from './parsed-body';
import type { ParsedBody } from './parsed-body';
import { SseRequestError } from './request-error';

/** A response of HTTP/1.1, or of HTTP/2 in Node's compatibility API, which has a stream of its own. */
type MaybeHttp2Response = ServerResponse & {
  readonly stream?: Writable & { readonly rstCode?: number };
};

/** A request of HTTP/1.1 or HTTP/2, as {@link MaybeHttp2Response}. */
type MaybeHttp2Request = IncomingMessage & {
  readonly stream?: Readable & { readonly aborted: boolean };
};

/** Returns a request without headers, for a session that continues without a request of its client. */
export function createPlaceholderRequest(): IncomingMessage {
  return new IncomingMessage(new Socket());
}

// --- Responses -------------------------------------------------------------------------------------

/**
 * Headers of an event stream. `no-transform` prevents compression middleware, and `X-Accel-Buffering`
 * prevents nginx, from holding events back.
 */
const EVENT_STREAM_HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-store, no-transform',
  'X-Accel-Buffering': 'no',
  'X-Content-Type-Options': 'nosniff',
};

/** Whether the client of a response has disconnected. */
export function isAborted(response: ServerResponse): boolean {
  return stateOf(response).destroyed || socketOfWaiting(response)?.destroyed === true;
}

/** Whether an error says that other code has already responded to the request. */
export function isAlreadyAnswered(error: unknown): boolean {
  const { code } = Object(error) as { code?: unknown };
  return code === 'ERR_HTTP_HEADERS_SENT' || code === 'ERR_HTTP2_HEADERS_SENT';
}

/** Returns the object that has a response's state, which is incomplete in HTTP/2's compatibility API. */
function stateOf(response: MaybeHttp2Response): Writable {
  return response.stream ?? response;
}

/** Starts an event stream as the response to a GET. */
export function openEventStream(
  response: ServerResponse,
  owner: EventStreamOwner,
  headers: Record<string, string>,
): EventStream {
  return new ResponseStream(response, owner, headers);
}

/** Sends a whole event stream. The connection can carry another request afterwards. */
export function sendEventStream(
  response: ServerResponse,
  events: Buffer,
  headers: Record<string, string> = {},
): void {
  response.writeHead(200, {
    ...EVENT_STREAM_HEADERS,
    'Content-Length': events.length,
    ...headers,
  });
  response.end(events);
}

/** The socket of a response that waits for an earlier one on it. Node assigns it later. Other runtimes may lack `req`. */
function socketOfWaiting({ socket, stream, req }: MaybeHttp2Response): Socket | undefined {
  return socket || stream ? undefined : (req as IncomingMessage | undefined)?.socket;
}

/** What to call when a socket is closed, for each response that waited for an earlier one when it began. */
const closeListeners = new WeakMap<Socket, Map<ServerResponse, () => void>>();

/**
 * Calls `onClosed` once, when a response is closed, by either side. Its errors are ignored.
 *
 * Node emits no `close` for a response that still waits for an earlier one when their socket is closed.
 */
export function onResponseClosed(response: ServerResponse, onClosed: () => void): void {
  response.on('error', ignoreError);
  const socket = socketOfWaiting(response);
  const listeners = socket && closeListenersOf(socket);
  const onClose = () => {
    if (!listeners || listeners.delete(response)) onClosed();
  };
  listeners?.set(response, onClose);
  response.once('close', onClose);
}

/** One listener for all responses, because Node would warn of more than ten. */
function closeListenersOf(socket: Socket): Map<ServerResponse, () => void> {
  const existing = closeListeners.get(socket);
  if (existing) return existing;
  const listeners = new Map<ServerResponse, () => void>();
  closeListeners.set(socket, listeners);
  socket.once('close', () => listeners.forEach((onClose) => onClose()));
  return listeners;
}

/** Closes a response. One that waits for an earlier one is closed for its owner, and for the client when its turn comes. */
export function destroyResponse(response: ServerResponse): void {
  response.destroy();
  const socket = socketOfWaiting(response);
  if (socket) process.nextTick(() => closeListeners.get(socket)?.get(response)?.());
}

/** Closes a response after an unexpected exception, for example of a method that other middleware has replaced. */
export function abandonResponse(response: ServerResponse, error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error));
  destroyResponse(response);
}

/** Time in milliseconds that a client has to receive the rest of a stream after its end. */
const END_TIMEOUT = 5_000;

class ResponseStream implements EventStream {
  readonly isPoll = false;
  readonly #response: MaybeHttp2Response;
  readonly #owner: EventStreamOwner;
  /** Accepts the bytes. */
  readonly #writable: Writable;
  /** Has `destroyed`, `writableNeedDrain` and `writableLength`; for HTTP/2, the underlying stream. */
  readonly #state: Writable;
  #isWaitingForDrain = false;
  #isOpen = true;
  #isFinished = false;
  #endDeadline: Deadline | undefined;

  constructor(response: ServerResponse, owner: EventStreamOwner, headers: Record<string, string>) {
    this.#response = response;
    this.#owner = owner;
    this.#writable = startResponse(response, { ...EVENT_STREAM_HEADERS, ...headers });
    this.#state = this.#writable === response ? stateOf(response) : this.#writable;
    onResponseClosed(response, () => {
      this.#isOpen = false;
      this.#endDeadline?.clear();
      owner.onStreamClosed(this, this.#isFinished);
    });
  }

  get isWritable(): boolean {
    // What is written between the socket's `destroy()` and the `close` event would be lost without an error.
    return this.#isOpen && !this.#state.destroyed && !this.#state.writableNeedDrain;
  }

  get writableLength(): number {
    return this.#state.writableLength;
  }

  write(chunk: Buffer): boolean {
    if (!this.#isOpen || this.#state.destroyed) return false;
    let acceptsMore: boolean;
    try {
      acceptsMore = this.#writable.write(chunk);
    } catch (error) {
      this.#isOpen = false;
      abandonResponse(this.#response, error);
      return false;
    }
    if (!acceptsMore && !this.#isWaitingForDrain) {
      this.#isWaitingForDrain = true;
      this.#state.once('drain', () => {
        this.#isWaitingForDrain = false;
        this.#owner.onStreamDrained(this);
      });
    }
    return acceptsMore;
  }

  end(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    // The session may not exist any more, so that nothing else would close the response to a client that does not read.
    this.#endDeadline = new Deadline(END_TIMEOUT, () => this.destroy());
    const { socket, stream } = this.#response;
    const connection = socket ?? socketOfWaiting(this.#response);
    this.#response.on('finish', () => {
      // Node emits `finish` for an aborted response as well.
      this.#isFinished = stream
        ? stream.writableFinished && stream.rstCode === 0
        : !connection?.destroyed;
    });
    try {
      this.#response.end();
    } catch (error) {
      abandonResponse(this.#response, error);
    }
  }

  destroy(): void {
    this.#isOpen = false;
    destroyResponse(this.#response);
  }
}

/** `close` follows every `error` of a response, and is the only one of the two that is handled. */
function ignoreError(): void {}

/**
 * Sends the head of an event stream, and returns the object that accepts its body.
 *
 * In HTTP/1.1 the body ends with the connection [RFC 9112 §6.3]. Without chunked encoding, the body
 * can be written to the socket itself instead of to the response, whose properties Express makes slow
 * on Node 20 and 22 (bench: broadcast); but not if other middleware has replaced `write`.
 */
function startResponse(response: MaybeHttp2Response, headers: Record<string, string>): Writable {
  const { socket, stream } = response;
  if (!stream) {
    response.removeHeader('Transfer-Encoding');
    response.shouldKeepAlive = false;
  }
  response.writeHead(200, headers);
  if (stream || !socket || response.write !== ServerResponse.prototype.write) return response;
  socket.cork(); // the head and the first event in one packet
  response.flushHeaders();
  process.nextTick(() => socket.uncork());
  return socket;
}

/** Sends JSON, which no cache stores, as a whole response. Has no effect if the response has begun or is closed. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: object,
  headers?: Record<string, string>,
): void {
  if (response.headersSent || response.destroyed) return;
  const json = JSON.stringify(body);
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(json),
    'Cache-Control': 'no-store',
    ...headers,
  });
  const { socket } = response;
  const original = ServerResponse.prototype;
  if (!socket || response.write !== original.write || response.end !== original.end) {
    // An earlier response on the socket is not complete, or it is HTTP/2, or other middleware has replaced a method.
    response.end(json);
    return;
  }
  // Head and body in one piece: `end(json)` would add an empty piece, and writing two pieces costs
  // about 5 µs more (bench: post).
  socket.cork();
  response.write(json);
  socket.uncork();
  response.end();
}

// --- Requests --------------------------------------------------------------------------------------

/**
 * Returns the path and the query of a request, also if its target is an absolute URL, which a proxy may
 * send [RFC 9112 §3.2.2].
 */
export function targetOf({ url = '' }: IncomingMessage): string {
  if (url.startsWith('/') || !URL.canParse(url)) return url;
  const { pathname, search } = new URL(url);
  return pathname + search;
}

/**
 * Calls `serve` for each request of a server before its `request` listeners, which do not receive the
 * request if `serve` returns true. Applies to listeners that are added later as well.
 */
export function interceptRequests(
  server: EventEmitter,
  serve: (
    request: IncomingMessage,
    response: ServerResponse,
    onError: (error: unknown) => void,
  ) => boolean,
): void {
  const emit = server.emit.bind(server);
  server.emit = (event: string | symbol, ...values: [IncomingMessage, ServerResponse]): boolean => {
    const [request, response] = values;
    const onError = (error: unknown) => abandonResponse(response, error);
    return (event === 'request' && serve(request, response, onError)) || emit(event, ...values);
  };
}

/** Returns the host that a request is for, with the port if it has one; '' if the request has none. */
export function hostOf({ headers }: IncomingMessage): string {
  const authority = headers[':authority']; // of HTTP/2, instead of `Host`
  return headers.host ?? (typeof authority === 'string' ? authority : '');
}

/** The body was cut off before its end. The client may send it again. */
export class IncompleteBodyError extends SseRequestError {
  constructor() {
    super('bad-request', 'the connection closed before the end of the request body');
  }
}

/**
 * Reads a request's body, or takes over what a body parser left. Reading stops when the body exceeds
 * `limit`; the returned body is then longer than the limit.
 *
 * @param limit in bytes.
 * @param timeout in milliseconds.
 * @throws SseRequestError if the body is incomplete, late, or was discarded by other middleware.
 */
export function readBody(
  request: IncomingMessage,
  limit: number,
  timeout: number,
): Promise<Buffer> | Buffer | ParsedBody {
  if (request.readableDidRead) return parsedBody(request);
  return receiveChunks(request, limit, timeout).then(joinChunks);
}

function receiveChunks(
  request: MaybeHttp2Request,
  limit: number,
  timeout: number,
): Promise<Buffer[]> {
  // `close` was emitted before, and what had arrived is lost.
  if (request.destroyed || request.stream?.aborted)
    return Promise.reject(new IncompleteBodyError());

  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    // The listeners are not removed, because that would cost more than they do.
    let isSettled = false;

    const settle = (action: () => void) => {
      if (isSettled) return;
      isSettled = true;
      deadline.clear();
      action();
    };
    const onEnd = () => settle(() => resolve(chunks));
    const deadline = new Deadline(timeout, () => {
      const message = `the request body did not arrive within ${timeout} ms (option "bodyTimeout")`;
      settle(() => reject(new SseRequestError('request-timeout', message)));
    });
    request.on('data', (data: Buffer | string) => {
      if (isSettled) return;
      const chunk = typeof data === 'string' ? encodeChunk(data, request) : data;
      size += chunk.length;
      chunks.push(chunk);
      if (size > limit) onEnd();
    });
    request.on('end', onEnd);
    // `error` needs no listener: without one, IncomingMessage does not emit it.
    request.on('close', () => settle(() => reject(new IncompleteBodyError())));
  });
}

function joinChunks(chunks: Buffer[]): Buffer {
  const [first] = chunks;
  return first && chunks.length === 1 ? first : Buffer.concat(chunks);
}

/** Returns the bytes of a chunk that is text, because other code has called `setEncoding`. */
function encodeChunk(chunk: string, { readableEncoding }: IncomingMessage): Buffer {
  return Buffer.from(chunk, readableEncoding ?? 'utf8');
}

/**
 * Reads a rejected request to its end, for `timeout` milliseconds at most, so that its connection can
 * carry another request and the client receives the error response instead of a reset.
 */
export function discardBody(request: MaybeHttp2Request, timeout: number): void {
  if (request.readableEnded || request.destroyed) return;
  const timer = setTimeout(() => (request.stream ?? request).destroy(), timeout).unref();
  request.on('close', () => clearTimeout(timer));
  request.resume();
}
