import { CloseCode } from '../protocol/close-code';
import type { SseClientOptions } from './options';
import { CLOSED, CLOSING, CONNECTING, OPEN, openSession } from './session';

/** Bytes not confirmed from which on `sink` lets its writer wait. */
const HIGH_WATER_MARK = 60_000;

/** Events of an {@link SseClient}. */
export interface SseClientEventMap<Incoming = unknown, Outgoing = unknown> {
  /** A session is open: the first, or one after `sessionlost`. */
  open: Event;
  /** A message of the server: each once, in order. */
  message: MessageEvent<Incoming>;
  /** An attempt to connect failed and will be repeated, or, before `close`, the session did. */
  error: Event & { readonly message: string };
  /** The server has taken messages: `bufferedAmount` has fallen. */
  drain: Event;
  /** The stream was lost. The session lives: what is sent waits, what the server sends as well. */
  disconnect: Event & { readonly reason: string };
  /** The stream is back: nothing was lost. */
  reconnect: Event;
  /**
   * The server has lost the session. A new one opens, unless `renewSession` is false: nothing of the old is
   * sent in it by itself. `unacknowledged` are the messages that the server never confirmed; it may have
   * taken the first of them.
   */
  sessionlost: SessionEndEvent<Outgoing>;
  /** The end, with the code and reason of whichever side closed. */
  close: SessionEndEvent<Outgoing>;
}

/** The end of a session, as WebSocket's `CloseEvent`. */
export interface SessionEndEvent<Outgoing = unknown> extends Event {
  readonly code: number;
  readonly reason: string;
  /** Both sides know, and nothing is unacknowledged. */
  readonly wasClean: boolean;
  /** What was sent and never confirmed, oldest first. */
  readonly unacknowledged: Outgoing[];
}

type Handler<E> = ((event: E) => void) | null;

interface SseEventTarget<Events> {
  addEventListener<Type extends keyof Events>(
    type: Type,
    listener: Handler<Events[Type]>,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<Type extends keyof Events>(
    type: Type,
    listener: Handler<Events[Type]>,
    options?: boolean | EventListenerOptions,
  ): void;
  dispatchEvent(event: Event): boolean;
}
/** The platform's `EventTarget`, with the types of our events. */
type TypedEventTarget = new <Events>() => SseEventTarget<Events>;

/**
 * The client: shaped like a WebSocket, over plain HTTP.
 *
 * Opens at once, and stays: a lost stream is opened again for as long as it takes, and nothing is lost,
 * doubled or out of order meanwhile. On a server that speaks only Dart's dialect it does what Dart's
 * client does; no more is possible there.
 *
 * @typeParam Incoming what the server sends. Believed, not checked.
 * @typeParam Outgoing what is sent to it.
 */
export class SseClient<
  Incoming = unknown,
  Outgoing = unknown,
> extends (EventTarget as TypedEventTarget)<SseClientEventMap<Incoming, Outgoing>> {
  static readonly CONNECTING = CONNECTING;
  static readonly OPEN = OPEN;
  static readonly CLOSING = CLOSING;
  static readonly CLOSED = CLOSED;

  /** Absolute, where the page or worker has an address. */
  readonly url: string;

  /** Sends what is written; lets the writer wait while 60,000 bytes or more are not confirmed. */
  readonly sink = new WritableStream<Outgoing>({
    write: async (message) => {
      this.send(message);
      while (this.bufferedAmount >= HIGH_WATER_MARK) {
        await new Promise((resolve) => this.addEventListener('drain', resolve, { once: true }));
      }
    },
    close: () => this.close(),
    abort: () => this.close(),
  });

  declare onopen?: Handler<Event>;
  declare onmessage?: Handler<MessageEvent<Incoming>>;
  declare onerror?: Handler<SseClientEventMap['error']>;
  declare onclose?: Handler<SessionEndEvent<Outgoing>>;
  declare ondisconnect?: Handler<SseClientEventMap['disconnect']>;
  declare onreconnect?: Handler<Event>;
  declare onsessionlost?: Handler<SessionEndEvent<Outgoing>>;
  declare ondrain?: Handler<Event>;

  readonly #session: ReturnType<typeof openSession>;
  #stream: ReadableStream<Incoming> | undefined;
  /** While the reader of `stream` does not read. */
  #pushback: Promise<void> | undefined;

  /**
   * @param url of the middleware; relative to the page's, where there is one.
   * @throws TypeError for a url that is none.
   */
  constructor(url: string | URL, options: SseClientOptions = {}) {
    super();
    this.url = new URL(url, (globalThis as Partial<typeof globalThis>).location?.href).href;
    const tell = (type: string, fields?: object) => {
      // `onmessage` and the like. A listener, so that what it throws is the platform's to report.
      const handler = this[`on${type as 'open'}`];
      if (handler) this.addEventListener(type as 'open', handler, { once: true });
      this.dispatchEvent(
        type === 'message'
          ? new MessageEvent(type, fields)
          : Object.assign(new Event(type), fields),
      );
    };
    this.#session = openSession(this.url, options, tell, () => this.#pushback);
  }

  /** WebSocket's numbers. `OPEN` also while the stream is lost: the session lives. */
  get readyState(): 0 | 1 | 2 | 3 {
    return this.#session.readyState();
  }

  /** Bytes of messages that the server has not confirmed. */
  get bufferedAmount(): number {
    return this.#session.bufferedAmount();
  }

  /**
   * Sends any JSON value: it arrives once, in order. Before `open` and while the stream is lost it
   * waits here.
   *
   * @throws TypeError for what JSON has no form of, RangeError for what is over the server's
   * `maxPayload`, Error once the client is closing or closed.
   */
  send(message: Outgoing): void {
    this.#session.send(message);
  }

  /**
   * Ends the session, when all that was sent before is confirmed; after 10 s in any case.
   *
   * @param code 1000, or 3000 to 4999 for the application's own [RFC 6455 §7.4].
   * @param reason what the server is told; it keeps 123 characters.
   * @throws RangeError for another code.
   */
  close(code: number = CloseCode.normal, reason = ''): void {
    this.#session.close(code, reason);
  }

  /** The messages; ends with the client. A reader that does not read pushes back on the server. */
  get stream(): ReadableStream<Incoming> {
    let pull = () => {};
    const reading = new AbortController();
    return (this.#stream ??= new ReadableStream<Incoming>({
      start: (controller) => {
        const take = ({ data }: MessageEvent<Incoming>) => {
          controller.enqueue(data);
          this.#pushback ??= new Promise((resolve) => (pull = resolve));
        };
        this.addEventListener('message', take, reading);
        this.addEventListener('close', () => controller.close(), reading);
      },
      pull: () => {
        this.#pushback = undefined;
        pull();
      },
      cancel: () => {
        reading.abort();
        pull();
        this.close();
      },
    }));
  }
}
