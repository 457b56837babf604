import type { ServerResponse } from 'node:http';
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

/** What takes the bytes, and knows its state: HTTP/2's compatible form says only a part of it. */
function outletOf(response: MaybeHttp2Response): Writable {
  return response.stream ?? response;
}

/** Whether its client went. */
export function isGone(response: ServerResponse): boolean {
  return outletOf(response).destroyed;
}

/** One GET's response as an event stream: headers, write, end. Knows nothing of sessions. */
export class EventStreamResponse implements EventStream {
  readonly #response: ServerResponse;
  #finished = false;
  #closed = false;

  constructor(response: ServerResponse, owner: EventStreamOwner, headers: Record<string, string>) {
    this.#response = response;
    response.writeHead(200, { ...EVENT_STREAM_HEADERS, ...headers });
    response.on('drain', () => owner.streamDrained(this));
    const { socket, stream } = response as MaybeHttp2Response;
    response.on('finish', () => {
      // Node says `finish` of a response that was aborted, too, before or after its `end()`.
      const wasCut = stream ? stream.rstCode !== 0 : socket?.destroyed;
      this.#finished = response.writableEnded && !wasCut;
    });
    response.on('close', () => {
      this.#closed = true;
      owner.streamClosed(this, this.#finished);
    });
    // A broken socket says `error`, then `close`: one is enough.
    response.on('error', () => {});
  }

  get writable(): boolean {
    const { writableEnded } = this.#response;
    return !this.#closed && !writableEnded && !outletOf(this.#response).writableNeedDrain;
  }

  get writableLength(): number {
    return this.#response.writableLength;
  }

  write(chunk: Buffer): boolean {
    // Node takes and drops, without a word, what is written in the tick of the socket's `destroy()`.
    if (this.#closed || this.#response.writableEnded || isGone(this.#response)) return false;
    return this.#response.write(chunk);
  }

  end(): void {
    if (!this.#closed) this.#response.end();
  }

  destroy(): void {
    if (!this.#closed) this.#response.destroy();
  }
}

/**
 * `no-transform` keeps compression middleware and `X-Accel-Buffering` keeps nginx from holding events
 * back. No `Connection` header: HTTP/2 forbids it, HTTP/1.1 does not need it.
 */
export const EVENT_STREAM_HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-store, no-transform',
  'X-Accel-Buffering': 'no',
  'X-Content-Type-Options': 'nosniff',
};
