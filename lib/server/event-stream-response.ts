import { ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';

/**
 * How a session sees its stream, wherever that stream is served.
 *
 * Nothing here throws. After `close` has been told, every call is without effect.
 */
export interface EventStream {
  /** Takes bytes. Returns false when it should get no more until `drain`. */
  write(chunk: Buffer): boolean;
  /** Whether it takes bytes now. */
  readonly writable: boolean;
  /** Bytes taken that no socket has yet. */
  readonly writableLength: number;
  /** Ends in order, after all that was written. */
  end(): void;
  /** Ends now, without what was not yet sent. */
  destroy(): void;
}

/** Who is told of a stream's life. Each is called with the stream it is about. */
export interface EventStreamOwner {
  /** The stream takes bytes again. */
  streamDrained(stream: EventStream): void;
  /** Once, the last call. `finished`: all that was written, and the end, went to the socket. */
  streamClosed(stream: EventStream, finished: boolean): void;
}

/** HTTP/2's, in Node's compatible form, has a stream of its own. */
type MaybeHttp2Response = ServerResponse & {
  readonly stream?: Writable & { readonly rstCode?: number };
};

/** What knows the response's state: HTTP/2's compatible form says only a part of it. */
function stateOf(response: MaybeHttp2Response): Writable {
  return response.stream ?? response;
}

/** Whether its client went. */
export function isGone(response: ServerResponse): boolean {
  return stateOf(response).destroyed;
}

/** One GET's response as an event stream: headers, write, end. Knows nothing of sessions. */
export class EventStreamResponse implements EventStream {
  readonly #response: ServerResponse;
  readonly #owner: EventStreamOwner;
  /** Takes the bytes. */
  readonly #outlet: Writable;
  /** Knows whether it still does: of HTTP/2 that is another. */
  readonly #state: Writable;
  #awaitsDrain = false;
  #isOpen = true;
  #finished = false;

  constructor(response: ServerResponse, owner: EventStreamOwner, headers: Record<string, string>) {
    this.#response = response;
    this.#owner = owner;
    this.#outlet = begin(response, { ...EVENT_STREAM_HEADERS, ...headers });
    this.#state = this.#outlet === response ? stateOf(response) : this.#outlet;
    response.on('close', () => {
      this.#isOpen = false;
      owner.streamClosed(this, this.#finished);
    });
    response.on('error', ignore);
  }

  get writable(): boolean {
    return this.#isOpen && !this.#state.writableNeedDrain;
  }

  get writableLength(): number {
    return this.#state.writableLength;
  }

  write(chunk: Buffer): boolean {
    // Node takes and drops, without a word, what is written in the tick of the socket's `destroy()`.
    if (!this.#isOpen || this.#state.destroyed) return false;
    const takesMore = this.#outlet.write(chunk);
    if (!takesMore && !this.#awaitsDrain) {
      this.#awaitsDrain = true;
      this.#state.once('drain', () => {
        this.#awaitsDrain = false;
        this.#owner.streamDrained(this);
      });
    }
    return takesMore;
  }

  end(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const { socket, stream } = this.#response as MaybeHttp2Response;
    this.#response.on('finish', () => {
      // Node says `finish` of a response that was aborted, too.
      this.#finished = !(stream ? stream.rstCode !== 0 : socket?.destroyed);
    });
    this.#response.end();
  }

  destroy(): void {
    this.#isOpen = false;
    this.#response.destroy();
  }
}

/** Of a broken socket, which says `error`, then `close`: one is enough. */
function ignore(): void {}

/**
 * Begins the response, and returns what takes its body.
 *
 * In HTTP/1 the body ends with the connection [RFC 9112 §6.3]: without a chunk round each write, it can
 * go to the socket itself, past the response, whose properties Express makes slow on Node 20 (bench:
 * broadcast). Not where another middleware has put itself before `write`.
 */
function begin(response: MaybeHttp2Response, headers: Record<string, string>): Writable {
  const { socket, stream } = response;
  if (!stream) {
    response.removeHeader('Transfer-Encoding');
    response.shouldKeepAlive = false;
  }
  response.writeHead(200, headers);
  if (stream || !socket || response.write !== ServerResponse.prototype.write) return response;
  socket.cork(); // head and first event in one packet
  response.flushHeaders();
  process.nextTick(() => socket.uncork());
  return socket;
}

/**
 * `no-transform` keeps compression middleware and `X-Accel-Buffering` keeps nginx from holding events
 * back.
 */
export const EVENT_STREAM_HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-store, no-transform',
  'X-Accel-Buffering': 'no',
  'X-Content-Type-Options': 'nosniff',
};
