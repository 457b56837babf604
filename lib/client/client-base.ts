import { CloseCode, checkClose } from '../protocol/close-code';
import type { Close } from '../protocol/wire';
import { ClientEventTarget, createDispatch } from './events';
import type { Dispatch, SseMessageEvent } from './events';
import type { Transport } from './options';
import { observePage } from './page-lifecycle';
import type { PageEvent } from './page-lifecycle';

/** While at least this number of bytes is unacknowledged, `sink` makes its writer wait. */
const HIGH_WATER_MARK = 60_000;

/** The values of `readyState` [HTML, WebSocket]. */
export const CONNECTING = 0;
export const OPEN = 1;
export const CLOSING = 2;
export const CLOSED = 3;

/** The type of `readyState`. */
export type ReadyState = 0 | 1 | 2 | 3;

/** One session of a client. Each kind of client has its own implementation. */
export interface ClientSession {
  /** See {@link ClientBase.readyState}. */
  readonly readyState: ReadyState;
  /** See {@link ClientBase.bufferedAmount}. */
  readonly bufferedAmount: number;
  /** See {@link ClientBase.transport}. */
  readonly transport: Transport;
  /** See {@link ClientBase.send}. Called only while connecting or open. */
  send(message: unknown): void;
  /** Closes. Called only while connecting or open, with a valid code and reason. */
  close(close: Close): void;
  /** Handles an event of the page. */
  onPage(event: PageEvent): void;
}

/** How a session has ended. */
export interface SessionEnd {
  code: number;
  reason: string;
  wasClean: boolean;
  unacknowledged: unknown[];
}

/** What a session needs of its client. */
export interface SessionHost {
  /** Dispatches an event on the client. */
  dispatch: Dispatch;
  /** While the application reads slowly, returns a promise. The session reads nothing until it resolves. */
  backpressure(): Promise<void> | undefined;
  /**
   * Handles the end of the session. Called once, and no other function is called after it.
   *
   * @param renewDelay milliseconds until the client may open a new session; undefined if it must not.
   * @param isAcknowledged whether the closing handshake is complete, or the server has closed. It may have rejected
   * messages nevertheless.
   */
  onEnd(end: SessionEnd, renewDelay?: number, isAcknowledged?: boolean): void;
}

/**
 * Opens a session.
 *
 * @param url the absolute URL of the middleware.
 * @param minDelay minimum delay before the first request, in milliseconds. @default no delay
 */
export type OpenSession = (url: string, host: SessionHost, minDelay?: number) => ClientSession;

/** The public interface of all clients: that of WebSocket, and Web Streams. */
export class ClientBase<Incoming, Outgoing> extends ClientEventTarget<Incoming, Outgoing> {
  /** `readyState` until a session is open, also after `sessionlost`: 0. */
  static readonly CONNECTING = CONNECTING;
  /** `readyState` while a session is open, also while its stream is lost: 1. */
  static readonly OPEN = OPEN;
  /** `readyState` after `close()`, until the server has acknowledged it: 2. */
  static readonly CLOSING = CLOSING;
  /** `readyState` after the `close` event: 3. */
  static readonly CLOSED = CLOSED;

  /** The absolute URL of the middleware. */
  readonly url: string;

  #session: ClientSession;
  #stream: ReadableStream<Incoming> | undefined;
  #sink: WritableStream<Outgoing> | undefined;
  /** Pending while the reader of `stream` does not read. */
  #backpressure: Promise<void> | undefined;

  /** @param openSession opens the first session, and a new one whenever a session is lost. */
  constructor(url: string | URL, openSession: OpenSession) {
    super();
    this.url = parseUrl(url);
    const dispatch = createDispatch(this);
    const open = (minDelay?: number) => openSession(this.url, host, minDelay);
    const host: SessionHost = {
      dispatch,
      backpressure: () => this.#backpressure,
      onEnd: (end, renewDelay) => {
        if (renewDelay === undefined) {
          page.abort();
          dispatch('close', end);
        } else {
          this.#session = open(renewDelay);
          dispatch('sessionlost', end);
        }
      },
    };
    this.#session = open();
    const page = observePage((event) => this.#session.onPage(event));
  }

  /**
   * The state, with the numbers of WebSocket: 0 (CONNECTING), 1 (OPEN), 2 (CLOSING) or 3 (CLOSED).
   * It stays OPEN while the event stream is lost, since the session continues.
   */
  get readyState(): ReadyState {
    return this.#session.readyState;
  }

  /** Size of the messages that the server has not acknowledged, in bytes of JSON. */
  get bufferedAmount(): number {
    return this.#session.bufferedAmount;
  }

  /** How the client receives messages now: `'stream'` or `'poll'`. */
  get transport(): Transport {
    return this.#session.transport;
  }

  /**
   * A stream of the messages that arrive after this property was first read. It ends when the client
   * closes. While it is not read, back-pressure is applied to the server. Cancelling it closes the client.
   */
  get stream(): ReadableStream<Incoming> {
    return (this.#stream ??= this.#openStream());
  }

  /**
   * Sends what is written to it. `write()` resolves when fewer than 60,000 bytes are unacknowledged,
   * and rejects if `send` throws. Closing or aborting it closes the client.
   */
  get sink(): WritableStream<Outgoing> {
    return (this.#sink ??= this.#openSink());
  }

  /** The same as {@link stream}. With `writable`, it makes the client a transform pair for `pipeThrough`. */
  get readable(): ReadableStream<Incoming> {
    return this.stream;
  }

  /** The same as {@link sink}. */
  get writable(): WritableStream<Outgoing> {
    return this.sink;
  }

  /**
   * Sends a message. The client keeps it until the server has acknowledged it, and sends it again if
   * necessary. Before the `open` event, messages wait.
   *
   * @param message any value that has a JSON form; or an ArrayBuffer, a view such as Uint8Array, or a Blob,
   * whose bytes the server receives as a Buffer. A Blob is read first, and later messages wait for it.
   * @throws TypeError if the message is anything else: undefined, a function, a symbol, a BigInt, or an
   * object that contains itself.
   * @throws TypeError if the message is binary and the server, or Dart's protocol, accepts only JSON.
   * @throws RangeError if its JSON is larger than the server's `maxPayload`. Before the `open` event, the
   * client does not know that limit: the server rejects the message, and the client closes.
   * @throws RangeError if more than `maxBufferedAmount` bytes would be unacknowledged. Wait for `drain`.
   * @throws Error if the client is closing or closed.
   */
  send(message: Outgoing): void {
    const { readyState } = this;
    if (readyState > OPEN) {
      throw new Error(`cannot send in readyState ${readyState}: use a new client`);
    }
    this.#session.send(message);
  }

  /**
   * Closes the session: the server receives everything that was sent before, then the code and the
   * reason. A `close` event follows when the server has acknowledged it, or after 10 s. No effect if
   * the client is closing or closed.
   *
   * @param code default 1000; a code of RFC 6455 §7.4.1 or of its IANA registry, 1000 to 1003 or 1007
   * to 1014, or a code of the application, 3000 to 4999.
   * @param reason at most 123 bytes of UTF-8, default ''.
   * @throws RangeError if the code or the reason is invalid; the session stays open.
   */
  close(code: number = CloseCode.normal, reason = ''): void {
    checkClose({ code, reason });
    if (this.readyState <= OPEN) this.#session.close({ code, reason });
  }

  #openStream(): ReadableStream<Incoming> {
    const listening = new AbortController();
    let endBackpressure = () => {};
    const pull = () => {
      this.#backpressure = undefined;
      endBackpressure();
    };
    return new ReadableStream<Incoming>({
      start: (controller) => {
        if (this.readyState === CLOSED) return controller.close();
        const enqueue = ({ data }: SseMessageEvent<Incoming>) => {
          controller.enqueue(data);
          this.#backpressure ??= new Promise((resolve) => (endBackpressure = resolve));
        };
        this.addEventListener('message', enqueue, listening);
        this.addEventListener('close', () => controller.close(), listening);
      },
      pull,
      cancel: () => {
        listening.abort();
        pull();
        this.close();
      },
    });
  }

  #openSink(): WritableStream<Outgoing> {
    return new WritableStream<Outgoing>({
      write: async (message) => {
        this.send(message);
        while (this.bufferedAmount >= HIGH_WATER_MARK) await this.#whenReleased();
      },
      close: () => this.close(),
      abort: () => this.close(),
    });
  }

  /** Resolves when messages have left the send buffer: they were acknowledged, or the session has ended. */
  #whenReleased(): Promise<void> {
    return new Promise((resolve) => {
      const waiting = new AbortController();
      for (const type of ['drain', 'sessionlost', 'close'] as const) {
        const settle = () => {
          waiting.abort();
          resolve();
        };
        this.addEventListener(type, settle, waiting);
      }
    });
  }
}

/** @throws TypeError if a middleware cannot have the URL. The text of the error contains no password. */
function parseUrl(url: string | URL): string {
  const { protocol, username, password, href } = new URL(url, baseUrl());
  if (!/^https?:$/.test(protocol)) {
    throw new TypeError(`the URL must begin with http: or https:, not ${protocol}`);
  }
  if (username || password) {
    throw new TypeError('the URL contains a user name or a password: use the option "headers"');
  }
  return href;
}

/** Returns the base of relative URLs: that of the document, or the URL of the worker; undefined in Node. */
export function baseUrl(): string | undefined {
  if ('document' in globalThis) return document.baseURI;
  // Deno has a `location` that is undefined.
  return (globalThis as { location?: Location }).location?.href;
}
