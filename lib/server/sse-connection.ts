import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';

/** What was sent on a connection and never confirmed. */
export interface CloseDetails<Outgoing> {
  /**
   * Oldest first. The client may have received some of them: it confirms by volume. A base-dialect
   * client never confirms: here is what no socket had taken.
   */
  readonly unacknowledged: Outgoing[];
}

/** Events of an {@link SseConnection}. */
export interface SseConnectionEvents<Incoming, Outgoing> {
  /** A message of the client: each once, in the order in which it was sent. */
  message: [message: Incoming];
  /** The stream was lost. The client has `reconnectTimeout` to come back; what is sent waits. */
  disconnect: [];
  /** The client is back: nothing was lost. */
  reconnect: [];
  /** After `send` returned false: the socket has all of it, and the client confirmed enough. */
  drain: [];
  /**
   * The end, after the last `message`. Code and reason are those of whichever side closed; 1006 where
   * the client went without a word.
   */
  close: [code: number, reason: string, details: CloseDetails<Outgoing>];
}

/** What a connection asks of its session. */
export interface ConnectionSession {
  readonly id: string;
  readonly connected: boolean;
  readonly readyState: ReadyState;
  /** `close` was told: no message comes any more. */
  readonly isOver: boolean;
  readonly bufferedAmount: number;
  readonly unacknowledgedAmount: number;
  send(message: unknown): boolean;
  close(code: number, reason: string): void;
  pause(): void;
  resume(): void;
  /** Resumes, unless the application paused. */
  start(): void;
}

/** `readyState` of a connection: WebSocket's numbers. */
export type ReadyState = 1 | 2 | 3;

/**
 * One client: its session from the first GET to its end, over as many streams as the network makes of
 * it.
 *
 * Starts paused: messages wait until there is a first `message` listener, reader of `stream` or
 * iterator, so that one attached after an `await` misses nothing.
 */
export class SseConnection<Incoming = unknown, Outgoing = unknown, Req = IncomingMessage>
  extends EventEmitter<SseConnectionEvents<Incoming, Outgoing>>
  implements AsyncIterable<Incoming>
{
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;

  /** The GET that opened the session. */
  readonly request: Req;
  /** The application's own: whatever it wants to keep with this client. */
  data: unknown = undefined;

  readonly #session: ConnectionSession;
  #stream: ReadableStream<Incoming> | undefined;
  #sink: WritableStream<Outgoing> | undefined;

  constructor(session: ConnectionSession, request: Req) {
    super();
    this.#session = session;
    this.request = request;
    // Node's own event, of which this emitter's type does not speak.
    super.on('newListener' as 'message', SseConnection.#startOnMessage as () => void);
  }

  /** One for all connections: an emitter is its listeners' `this`. */
  static #startOnMessage(this: SseConnection, event: string): void {
    if (event === 'message') this.#session.start();
  }

  /** The name that the client gave its session. A label: anybody may claim it; it proves nothing. */
  get id(): string {
    return this.#session.id;
  }

  /** Whether a stream to the client stands now. */
  get connected(): boolean {
    return this.#session.connected;
  }

  /** `OPEN` also while the stream is lost and may come back; `CLOSING` after `close()`; `CLOSED`. */
  get readyState(): ReadyState {
    return this.#session.readyState;
  }

  /** Bytes sent that no socket has taken yet, as WebSocket's. Bounded by `maxBufferedAmount`. */
  get bufferedAmount(): number {
    return this.#session.bufferedAmount;
  }

  /**
   * Bytes sent that the client has not confirmed. It confirms after 256 KiB, 2,048 messages or a
   * minute: not a measure to wait on.
   */
  get unacknowledgedAmount(): number {
    return this.#session.unacknowledgedAmount;
  }

  /**
   * Sends any JSON value. It arrives once, in order, also when the stream is lost meanwhile. (To
   * Dart's client send strings: it casts what it gets to `String` [dart].)
   *
   * @returns false to say: enough for now, wait for `drain`; the message is sent all the same. False,
   * and nothing is sent, on a connection that is no longer `OPEN`.
   * @throws TypeError for what JSON has no form of: undefined, a function, a symbol, a BigInt, a cycle.
   */
  send(message: Outgoing): boolean {
    return this.#session.send(message);
  }

  /**
   * Ends the session: the client gets what was sent before, then the code and reason, and does not come
   * back. Without effect on a connection that is no longer `OPEN`.
   *
   * @param code as WebSocket's [RFC 6455 §7.4]: 1000, or 3000 to 4999 for the application's own.
   * @param reason at most 123 bytes.
   * @throws RangeError for another code or a longer reason.
   */
  close(code = 1000, reason = ''): void {
    this.#session.close(code, reason);
  }

  /** Lets messages wait. Past `highWaterMark` the client is pushed back on; nothing is lost. */
  pause(): void {
    this.#session.pause();
  }

  /** Lets messages come again. */
  resume(): void {
    this.#session.resume();
  }

  /**
   * The client's messages; ends with the session, after the last. A reader that does not read pushes
   * back on the client. `cancel()` closes the connection.
   */
  get stream(): ReadableStream<Incoming> {
    return (this.#stream ??= this.#openStream());
  }

  /**
   * Writes to the client, as fast as its socket takes it: `write()` settles when it has room again.
   * `close()` and `abort()` close the connection; the sink errors when that ends.
   */
  get sink(): WritableStream<Outgoing> {
    return (this.#sink ??= this.#openSink());
  }

  /** The messages of {@link stream}: `for await (const message of connection)`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Incoming> {
    return this.stream[Symbol.asyncIterator]();
  }

  #openStream(): ReadableStream<Incoming> {
    // Before the listener is attached, so that it does not start the flow: the reader does.
    this.#session.pause();
    let stopListening = () => {};
    return new ReadableStream<Incoming>(
      {
        start: (controller) => {
          if (this.#session.isOver) return controller.close();
          const take = (message: Incoming) => {
            controller.enqueue(message);
            if ((controller.desiredSize ?? 0) <= 0) this.#session.pause();
          };
          const end = () => controller.close();
          this.on('message', take).on('close', end);
          stopListening = () => this.off('message', take).off('close', end);
        },
        pull: () => this.#session.resume(),
        cancel: (reason) => {
          stopListening();
          this.#session.resume();
          this.close(1000, closeReason(reason));
        },
      },
      { highWaterMark: 0 },
    );
  }

  #openSink(): WritableStream<Outgoing> {
    return new WritableStream<Outgoing>({
      start: (controller) => {
        const end = () => controller.error(new Error('the connection is closed'));
        if (this.readyState === SseConnection.CLOSED) end();
        // A turn later: what is piped here from `stream`, which ends now, ends in order.
        else this.on('close', () => setImmediate(end));
      },
      write: (message) => {
        if (this.send(message)) return undefined;
        // Closed before, or by this message, which passed `maxBufferedAmount`.
        if (this.readyState !== SseConnection.OPEN) throw new Error('the connection is closed');
        return new Promise<void>((resolve) => {
          const settle = () => {
            this.off('drain', settle).off('close', settle);
            resolve();
          };
          this.on('drain', settle).on('close', settle);
        });
      },
      close: () => this.close(),
      abort: (reason) => this.close(1000, closeReason(reason)),
    });
  }
}

/** What a Web Stream was cancelled or aborted with, as far as it fits a close reason. */
function closeReason(reason: unknown): string {
  const text = reason instanceof Error ? reason.message : reason;
  return typeof text === 'string' ? text.slice(0, 40) : '';
}
