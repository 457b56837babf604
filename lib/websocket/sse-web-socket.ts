import { CLOSED, CLOSING, CONNECTING, OPEN, baseUrl } from '../client/client-base';
import type { ReadyState, SessionEnd } from '../client/client-base';
import { defineHandlers } from '../client/events';
import type { Dispatch, Handler, SseMessageEvent, TypedEventTarget } from '../client/events';
import { createSendRequest } from '../client/http';
import type { SendRequest } from '../client/http';
import type { SseClientOptions } from '../client/options';
import { observePage } from '../client/page-lifecycle';
import { openSession } from '../client/session';
import type { DuplexSession } from '../client/session';
import { createTransport } from '../client/transport';
import { CloseCode } from '../protocol/close-code';
import { bytesOf, isBlob } from '../protocol/message';
import { utf8Length } from '../protocol/utf8';
import { SUBPROTOCOLS_HEADER } from '../protocol/wire';
import type { Close } from '../protocol/wire';
import { createCloseEvent } from './close-event';
import type { SseWebSocketCloseEvent } from './close-event';
import { parseClose, parseProtocols, parseUrl, toUsvString } from './parse';
import { TaskQueue } from './task-queue';

/** Options of {@link SseWebSocket.with}: those of `SseClient` except `renewSession`. */
export type SseWebSocketOptions = Omit<SseClientOptions, 'renewSession'>;

/** What `send` of an {@link SseWebSocket} accepts. */
export type SseWebSocketData = string | ArrayBuffer | ArrayBufferView | Blob;

/** Events of an {@link SseWebSocket}: those of a WebSocket. */
export interface SseWebSocketEventMap {
  /** The connection is open. */
  open: Event;
  /** A message has arrived: `event.data` is a string, or bytes in the form of {@link SseWebSocket.binaryType}. */
  message: SseMessageEvent;
  /** The connection has failed; `close` follows. `event.message`, which a WebSocket does not have, says why. */
  error: Event;
  /** The connection is closed. */
  close: SseWebSocketCloseEvent;
}

/** The event target and the `on…` properties of an {@link SseWebSocket}. */
export interface SseWebSocketTarget extends TypedEventTarget<SseWebSocketEventMap> {
  /** Called when the connection is open. */
  onopen: Handler<Event>;
  /** Called with each message. */
  onmessage: Handler<SseMessageEvent>;
  /** Called when the connection has failed. */
  onerror: Handler<Event>;
  /** Called when the connection is closed. */
  onclose: Handler<SseWebSocketCloseEvent>;
}

/** The platform's event target. {@link SseWebSocket} itself defines the `on…` properties. */
const WebSocketTarget = EventTarget as unknown as new () => SseWebSocketTarget;

/** The members of WebSocket's prototype, besides its handlers and constants. */
const MEMBERS = [
  'url',
  'readyState',
  'bufferedAmount',
  'protocol',
  'extensions',
  'binaryType',
  'send',
  'close',
] as const satisfies (keyof SseWebSocket)[];

const READY_STATES = { CONNECTING, OPEN, CLOSING, CLOSED };

/**
 * A class with the interface of WebSocket, over plain HTTP, for libraries that were written for WebSocket. It restores
 * lost connections without an event. See docs/websocket-libraries.md.
 */
export class SseWebSocket extends WebSocketTarget {
  /** `readyState` until the connection is open: 0. */
  static readonly CONNECTING = CONNECTING;
  /** `readyState` while the connection is open, also while its event stream is lost: 1. */
  static readonly OPEN = OPEN;
  /** `readyState` after `close()`: 2. */
  static readonly CLOSING = CLOSING;
  /** `readyState` after the `close` event: 3. */
  static readonly CLOSED = CLOSED;
  /** The same as the static constant. */
  declare readonly CONNECTING: 0;
  /** The same as the static constant. */
  declare readonly OPEN: 1;
  /** The same as the static constant. */
  declare readonly CLOSING: 2;
  /** The same as the static constant. */
  declare readonly CLOSED: 3;

  readonly #url: URL;
  readonly #session: DuplexSession;
  readonly #events = new TaskQueue();
  readonly #page: AbortController;
  #readyState: ReadyState = CONNECTING;
  #hasOpened = false;
  #protocol = '';
  #binaryType: 'blob' | 'arraybuffer' = 'blob';
  /** Why the connection has failed. */
  #failure: string | undefined;
  /** Sizes in bytes of the messages that may be unacknowledged, as a WebSocket counts them. */
  readonly #sizes: number[] = [];
  /** Bytes of messages that were discarded because of the close, which a WebSocket counts as well. */
  #discardedBytes = 0;

  /**
   * @param url the URL of the middleware, with the scheme `ws`, `wss`, `http` or `https`; on a page or in a worker, it
   * may be relative.
   * @param protocols the subprotocols that the server may choose from. @default none
   * @throws DOMException (SyntaxError) if the URL or a subprotocol is invalid.
   */
  constructor(url: string | URL, protocols?: string | readonly string[]);
  constructor(
    url: string | URL,
    protocols: string | readonly string[] = [],
    options: SseWebSocketOptions = {},
  ) {
    super();
    if ((url as unknown) === undefined) throw new TypeError('the URL is missing');
    this.#url = parseUrl(String(url), baseUrl());
    const offered = parseProtocols(protocols);
    const address = this.#url.href.replace('ws', 'http');
    const dispatch = this.#createDispatch(offered);
    const transport = createTransport(address, dispatch, options.transport);
    const request = offerSubprotocols(createSendRequest(address, options), offered);
    this.#session = openSession(
      request,
      transport,
      { ...options, renewSession: false },
      {
        dispatch,
        backpressure: () => this.#events.backpressure(),
        onEnd: (end, _, isAcknowledged) => this.#onEnd(end, isAcknowledged),
      },
    );
    this.#page = observePage((event) => this.#session.onPage(event));
  }

  /**
   * Returns a subclass whose instances have these options, to be passed to a library.
   *
   * @param options see `SseClientOptions`.
   */
  static with(options: SseWebSocketOptions): typeof SseWebSocket {
    // The constructor's third parameter is not part of its type.
    const Base = this as new (...values: unknown[]) => SseWebSocket;
    const Configured = class extends Base {
      constructor(url: string | URL, protocols: string | readonly string[] = []) {
        super(url, protocols, options);
      }
    };
    defineInterface(Configured.prototype, SseWebSocket.prototype);
    return Object.defineProperty(Configured, 'name', {
      value: 'SseWebSocket',
    }) as typeof SseWebSocket;
  }

  /** The absolute URL, with the scheme `ws` or `wss`. */
  get url(): string {
    return this.#url.href;
  }

  /** The state: 0 (CONNECTING), 1 (OPEN), 2 (CLOSING) or 3 (CLOSED). */
  get readyState(): ReadyState {
    return this.#readyState;
  }

  /** Bytes that were sent and that the server has not acknowledged. */
  get bufferedAmount(): number {
    return this.#discardedBytes + sum(this.#unacknowledged());
  }

  /** The subprotocol that the server has chosen, or ''. */
  get protocol(): string {
    return this.#protocol;
  }

  /** Always '': there are no extensions. */
  get extensions(): string {
    return '';
  }

  /** How bytes are received: as a `Blob` or an `ArrayBuffer`. Other values are ignored. @default 'blob' */
  get binaryType(): 'blob' | 'arraybuffer' {
    return this.#binaryType;
  }

  set binaryType(value: 'blob' | 'arraybuffer') {
    if (['blob', 'arraybuffer'].includes(value)) this.#binaryType = value;
  }

  /**
   * Sends a message. It is discarded if the connection is closing or closed. A message that is larger than the server's
   * `maxPayload` closes the connection with code 1009.
   *
   * @param data a string, an ArrayBuffer, a view such as Uint8Array, or a Blob. Other values are converted to strings.
   * @throws DOMException (InvalidStateError) if the connection is not open yet.
   */
  send(data: SseWebSocketData): void {
    const value: unknown = data;
    const message = isBinary(value) ? value : toUsvString(value);
    if (this.#readyState === CONNECTING) {
      throw new DOMException('cannot send before the "open" event', 'InvalidStateError');
    }
    const size = sizeOf(message);
    // The session may be closed already, although the `close` event was not dispatched yet.
    if (this.#readyState !== OPEN || this.#session.readyState !== OPEN) {
      this.#discardedBytes += size;
      return;
    }
    this.#unacknowledged();
    this.#sizes.push(size);
    try {
      this.#session.send(message);
    } catch (error) {
      this.#fail(String(error), CloseCode.messageTooBig);
    }
  }

  /**
   * Closes the connection: the server receives everything that was sent before, then the code and the reason. No
   * effect if the connection is closing or closed.
   *
   * @param code 1000, or 3000 to 4999 for the application's own. @default none, which the server receives as 1005
   * @param reason at most 123 bytes of UTF-8. @default ''
   * @throws DOMException (InvalidAccessError) if the code is invalid.
   * @throws DOMException (SyntaxError) if the reason is too long.
   */
  close(code?: number, reason = ''): void {
    const close = parseClose(code, reason);
    if (this.#readyState === CONNECTING) {
      this.#fail('closed before the connection was open');
    } else if (this.#readyState === OPEN) {
      this.#readyState = CLOSING;
      this.#closeSession(close);
    }
  }

  /** Handles the events of the session. Each event of the application is dispatched in a task of its own. */
  #createDispatch(offered: string[]): Dispatch {
    return (type, fields?: object) => {
      if (type === 'open') {
        const { subprotocol = '' } = this.#session.hello ?? {};
        if (offered.length > 0 && !offered.includes(subprotocol)) {
          return this.#fail(
            'the server has chosen none of the subprotocols',
            CloseCode.protocolError,
          );
        }
        this.#events.push(() => this.#onOpen(subprotocol));
      } else if (type === 'message') {
        const { data } = fields as { data: unknown };
        this.#events.push(() => this.#onMessage(data));
      } else if (type === 'error' && this.#readyState === CONNECTING && !this.#session.hello) {
        this.#fail((fields as { message: string }).message);
      }
    };
  }

  #onOpen(protocol: string): void {
    if (this.#readyState !== CONNECTING) return;
    this.#readyState = OPEN;
    this.#hasOpened = true;
    this.#protocol = protocol;
    this.dispatchEvent(new Event('open'));
  }

  #onMessage(message: unknown): void {
    if (this.#readyState !== OPEN) return;
    const isBytes = bytesOf(message) !== undefined;
    let data = message;
    try {
      // An application that does not use `sse-duplex/ws` may send any JSON value.
      if (!isBytes && typeof message !== 'string') data = JSON.stringify(message);
    } catch (error) {
      return this.#fail(String(error), CloseCode.unsupportedData); // it is nested too deep
    }
    if (isBytes && this.#binaryType === 'blob') data = new Blob([message as ArrayBuffer]);
    this.dispatchEvent(new MessageEvent('message', { data, origin: this.#url.origin }));
  }

  /** @param code the close code for the server, if a session was opened. */
  #fail(reason: string, code: Close['code'] = CloseCode.goingAway): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    this.#readyState = CLOSING;
    this.#closeSession({ code, reason: '' });
  }

  /** Closes the session, unless it is closing or closed: its events may not have been dispatched yet. */
  #closeSession(close: Close): void {
    if (this.#session.readyState <= OPEN) this.#session.close(close);
  }

  #onEnd({ code, reason, wasClean, unacknowledged }: SessionEnd, isAcknowledged = false): void {
    this.#page.abort();
    this.#discardedBytes += sum(this.#sizes.slice(this.#sizes.length - unacknowledged.length));
    this.#sizes.length = 0;
    const isFailure = code === CloseCode.abnormal;
    const cause = isFailure ? reason : 'the server has not acknowledged the close';
    this.#events.push(() => {
      // A close that the server knows is no failure, even if it has rejected messages.
      const isClosed = this.#hasOpened && isAcknowledged && !isFailure;
      this.#readyState = CLOSED;
      if (!isClosed || this.#failure !== undefined) {
        const message = this.#failure ?? cause;
        this.dispatchEvent(Object.assign(new Event('error'), { message }));
      }
      this.dispatchEvent(
        createCloseEvent(
          isClosed
            ? { code, reason, wasClean }
            : { code: CloseCode.abnormal, reason: '', wasClean: false },
        ),
      );
    });
  }

  /** Returns the sizes of the messages that are not acknowledged. */
  #unacknowledged(): number[] {
    this.#sizes.splice(0, this.#sizes.length - this.#session.bufferedMessages);
    return this.#sizes;
  }

  static {
    Object.assign(this.prototype, READY_STATES);
    defineInterface(this.prototype, this.prototype);
  }
}

/** Defines the own properties of WebSocket's prototype on a prototype, because libraries look for them there. */
function defineInterface(prototype: SseWebSocket, source: SseWebSocket): void {
  defineHandlers(prototype, ['open', 'message', 'error', 'close']);
  for (const name of MEMBERS) {
    const member = Object.getOwnPropertyDescriptor(source, name);
    Object.defineProperty(prototype, name, { ...member, enumerable: true });
  }
}

/** Offers the subprotocols with each GET that opens a session. */
function offerSubprotocols(request: SendRequest, offered: string[]): SendRequest {
  if (offered.length === 0) return request;
  return (id, init, ...parameters) => {
    const isOpening = init.method !== 'POST' && !init.headers?.['Last-Event-ID'];
    const headers = { ...init.headers, [SUBPROTOCOLS_HEADER]: offered.join(', ') };
    return request(id, isOpening ? { ...init, headers } : init, ...parameters);
  };
}

function isBinary(data: unknown): data is Exclude<SseWebSocketData, string> {
  return bytesOf(data) !== undefined || isBlob(data);
}

function sizeOf(data: SseWebSocketData): number {
  if (typeof data === 'string') return utf8Length(data);
  return 'size' in data ? data.size : data.byteLength;
}

function sum(sizes: number[]): number {
  return sizes.reduce((total, size) => total + size, 0);
}
