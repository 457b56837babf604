import { CloseCode } from '../protocol/wire';
import type { SseClientOptions } from './options';
import { CLOSED, CLOSING, CONNECTING, OPEN, openSession } from './session';

/** Bytes not confirmed from which on `sink` lets its writer wait. */
const HIGH_WATER_MARK = 65_536;

const EVENTS = ['open', 'message', 'error', 'close', 'disconnect', 'reconnect', 'reset'] as const;

/** Events of an {@link SseClient}. */
export interface SseClientEventMap<Incoming = unknown, Outgoing = unknown> {
  /** A session is open: the first, or one after `reset`. */
  open: Event;
  /** A message of the server: each once, in order. */
  message: MessageEvent<Incoming>;
  /** An attempt to connect failed and will be repeated, or, before `close`, the session did. */
  error: Event & { readonly message: string };
  /** The stream was lost. The session lives: what is sent waits, what the server sends as well. */
  disconnect: Event & { readonly reason: string };
  /** The stream is back: nothing was lost. */
  reconnect: Event;
  /**
   * The server has lost the session. A new one opens, unless `renew` is false: nothing of the old is
   * sent in it by itself. `undelivered` are the messages that the server never confirmed; it may have
   * taken the first of them.
   */
  reset: Event & { readonly undelivered: Outgoing[]; readonly reason: string };
  /** The end, with the code and reason of whichever side closed. `wasClean`: both sides know. */
  close: Event & {
    readonly code: number;
    readonly reason: string;
    readonly wasClean: boolean;
    /** As in `reset`. */
    readonly undelivered: Outgoing[];
  };
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
/** The platform's, with the types of our events: nothing of it is there at run time. */
const TypedEventTarget = EventTarget as new <Events>() => SseEventTarget<Events>;

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
export class SseClient<Incoming = unknown, Outgoing = unknown> extends TypedEventTarget<
  SseClientEventMap<Incoming, Outgoing>
> {
  static readonly CONNECTING = CONNECTING;
  static readonly OPEN = OPEN;
  static readonly CLOSING = CLOSING;
  static readonly CLOSED = CLOSED;

  /** Absolute, where the page or worker has an address. */
  readonly url: string;

  declare onopen: Handler<Event>;
  declare onmessage: Handler<MessageEvent<Incoming>>;
  declare onerror: Handler<SseClientEventMap['error']>;
  declare onclose: Handler<SseClientEventMap<Incoming, Outgoing>['close']>;
  declare ondisconnect: Handler<SseClientEventMap['disconnect']>;
  declare onreconnect: Handler<Event>;
  declare onreset: Handler<SseClientEventMap<Incoming, Outgoing>['reset']>;

  readonly #session: ReturnType<typeof openSession>;
  #stream: ReadableStream<Incoming> | undefined;
  #sink: WritableStream<Outgoing> | undefined;
  #onConfirmed = () => {};

  /**
   * @param url of the middleware; relative to the page's, where there is one.
   * @throws TypeError for a url that is none.
   */
  constructor(url: string | URL, options: SseClientOptions = {}) {
    super();
    this.url = new URL(url, globalThis.location?.href).href;
    for (const type of EVENTS) {
      this[`on${type}`] = null;
      this.addEventListener(type, (event) => (this[`on${type}`] as Handler<Event>)?.(event));
    }
    this.#session = openSession(this.url, options, (type, fields) => {
      if (type === 'confirmed') return this.#onConfirmed();
      this.dispatchEvent(
        type === 'message'
          ? new MessageEvent(type, fields)
          : Object.assign(new Event(type), fields),
      );
    });
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
    if (this.readyState > OPEN) throw new Error('the client is closed');
    const json = JSON.stringify(message) as string | undefined;
    if (json === undefined) throw new TypeError(`${typeof message} has no JSON form`);
    this.#session.send(json);
  }

  /**
   * Ends the session, when all that was sent before is confirmed; after 10 s in any case.
   *
   * @param code 1000, or 3000 to 4999 for the application's own [RFC 6455 §7.4].
   * @param reason at most 123 bytes.
   * @throws RangeError for another code or a longer reason.
   */
  close(code: number = CloseCode.normal, reason = ''): void {
    if ((code !== CloseCode.normal && !(code >= 3000 && code < 5000)) || reason.length > 41) {
      throw new RangeError(`cannot close with ${code} ${reason}`);
    }
    if (this.readyState < CLOSING) void this.#session.close({ code, reason });
  }

  /** The messages; ends with the client. A reader that does not read pushes back on the server. */
  get stream(): ReadableStream<Incoming> {
    return (this.#stream ??= this.#openStream());
  }

  /** Sends what is written; lets the writer wait while 64 KiB or more are not confirmed. */
  get sink(): WritableStream<Outgoing> {
    return (this.#sink ??= new WritableStream({
      write: (message) => {
        this.send(message);
        return new Promise<void>((resolve) => {
          this.#onConfirmed = () => {
            if (this.bufferedAmount < HIGH_WATER_MARK || this.readyState === CLOSED) resolve();
          };
          this.#onConfirmed();
        });
      },
      close: () => this.close(),
      abort: () => this.close(),
    }));
  }

  #openStream(): ReadableStream<Incoming> {
    let pull = () => {};
    return new ReadableStream<Incoming>(
      {
        start: (controller) => {
          this.addEventListener('message', ({ data }) => {
            if (this.readyState === CLOSED) return;
            controller.enqueue(data);
            this.#session.pushBack(new Promise((resolve) => (pull = resolve)));
          });
          this.addEventListener('close', () => controller.close());
        },
        pull: () => pull(),
        cancel: () => this.close(),
      },
      { highWaterMark: 0 },
    );
  }
}
