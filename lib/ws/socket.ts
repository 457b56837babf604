import { EventEmitter } from 'node:events';
import { CloseCode } from '../protocol/close-code';
import { bytesOf } from '../protocol/message';
import type { SseConnection } from '../server/sse-connection';
import { EventListeners } from './event-listeners';
import type {
  SocketEventListener,
  SocketEventListenerObject,
  SocketEventMap,
  SocketListenerOptions,
} from './event-listeners';

/** The connection of a client, with any types of messages. */
export type AnyConnection = SseConnection<unknown, unknown, unknown>;

/** How an {@link SseServerSocket} passes bytes to its listeners. */
export type BinaryType = 'nodebuffer' | 'arraybuffer' | 'fragments';

/** What `send` accepts. */
export type SocketData = string | number | ArrayBuffer | ArrayBufferView;

/** Options of `send`. */
export interface SendOptions {
  /** Whether the client receives bytes, and not a string. @default false for a string or a number, else true */
  binary?: boolean;
}

/** Called when more may be sent, or with an error if the socket is closing or closed. */
export type SendCallback = (error?: Error) => void;

/** Events of an {@link SseServerSocket}: the arguments of their listeners. */
export interface SseServerSocketEvents {
  /** A message of the client. Text is a Buffer of UTF-8; bytes have the form of `binaryType`. */
  message: [data: Buffer | ArrayBuffer | Buffer[], isBinary: boolean];
  /** The connection is closed. */
  close: [code: number, reason: Buffer];
  /** Never emitted: after a network failure the client reconnects, or the connection closes. */
  error: [error: Error];
  /** Never emitted: the session has heartbeats of its own. */
  ping: [data: Buffer];
  /** Emitted after `ping()`. It does not come from the client; it shows that the session is open. */
  pong: [data: Buffer];
}

/** Largest size in bytes of the data of a ping [RFC 6455 §5.5]. */
const MAX_PING_SIZE = 125;
/** Reason of the close of a session that moves to another node. */
export const MOVED = 'moved to another node';
const READY_STATES = ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'] as const;
const [CONNECTING, OPEN, CLOSING, CLOSED] = [0, 1, 2, 3] as const;

/** A connection with the interface of a server's WebSocket of the package `ws`. Created by `SseWebSocketServer`. */
export class SseServerSocket extends EventEmitter<SseServerSocketEvents> {
  /** A value of `readyState` that a server's socket never has: 0. */
  static readonly CONNECTING = CONNECTING;
  /** `readyState` while the connection is open, also while its event stream is lost: 1. */
  static readonly OPEN = OPEN;
  /** `readyState` after `close()` or `terminate()`, or after the client has closed: 2. */
  static readonly CLOSING = CLOSING;
  /** `readyState` after `close` was emitted: 3. */
  static readonly CLOSED = CLOSED;
  /** The same as the static constant. */
  readonly CONNECTING = CONNECTING;
  /** The same as the static constant. */
  readonly OPEN = OPEN;
  /** The same as the static constant. */
  readonly CLOSING = CLOSING;
  /** The same as the static constant. */
  readonly CLOSED = CLOSED;

  /** The connection of this package that carries the messages. */
  readonly connection: AnyConnection;
  /** How listeners receive bytes. @default 'nodebuffer' */
  binaryType: BinaryType = 'nodebuffer';

  #isPaused = false;
  #isTerminated = false;
  /** Whether `close` was emitted. */
  #isClosed = false;
  #isReading = false;
  /** Callbacks of `send` that wait for `drain`. */
  readonly #waiting: SendCallback[] = [];
  readonly #listeners = new EventListeners(this);

  /** @internal Sockets are created by `SseWebSocketServer`. */
  constructor(connection: AnyConnection) {
    super();
    this.connection = connection;
    connection.on('drain', () => this.#settle());
    connection.on('close', (code, reason) => {
      if (!this.#isTerminated) this.#onClosed(code, reason);
    });
    // The library's state of the connection is in the memory of this node.
    connection.on('moved', () => this.#onClosed(CloseCode.serviceRestart, MOVED));
    this.#watchListeners();
  }

  /**
   * Removes all listeners of an event, or of all events.
   *
   * @returns this socket.
   */
  override removeAllListeners(...event: [event?: string | symbol]): this {
    super.removeAllListeners(...event);
    this.#watchListeners();
    return this;
  }

  /** Waits for the first `message` listener. Until then the connection keeps the messages. */
  #watchListeners(): void {
    const listener = SseServerSocket.#onNewListener;
    const listeners = EventEmitter.prototype.listeners.call(this, 'newListener');
    if (!listeners.includes(listener))
      EventEmitter.prototype.on.call(this, 'newListener', listener);
  }

  static #onNewListener(this: SseServerSocket, event: string): void {
    if (event === 'message' && !this.#isReading) this.#read();
  }

  /**
   * The state: 1 (OPEN), 2 (CLOSING) or 3 (CLOSED). CLOSING lasts until `close` is emitted, which is after the messages
   * that the client has sent before.
   */
  get readyState(): 0 | 1 | 2 | 3 {
    if (this.#isClosed) return CLOSED;
    return this.connection.readyState === OPEN ? OPEN : CLOSING;
  }

  /** The subprotocol that `handleProtocols` has chosen, or ''. */
  get protocol(): string {
    return this.connection.subprotocol;
  }

  /** Always '': there are no extensions. */
  get extensions(): string {
    return '';
  }

  /** Always '': a server's socket has no URL. */
  get url(): string {
    return '';
  }

  /** Bytes that were sent and that no TCP socket has accepted yet. */
  get bufferedAmount(): number {
    return this.connection.bufferedAmount;
  }

  /** Whether `pause()` was called. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  /**
   * Sends a message.
   *
   * @param data null and undefined are sent as no bytes, as in `ws`.
   * @param options may be left out, also if there is a callback.
   * @param callback is called when more may be sent, or with an error if the socket is closing or closed.
   */
  send(data: SocketData, options?: SendOptions | SendCallback, callback?: SendCallback): void {
    const done = findCallback(options, callback);
    const isText = typeof data === 'string' || typeof data === 'number';
    const { binary = !isText } = Object(options) as SendOptions;
    if (!this.#isOpen()) {
      if (done) process.nextTick(done, this.#notOpen());
      return;
    }
    const mayContinue = this.connection.send(binary ? toBytes(data) : toText(data));
    if (!done) return;
    if (mayContinue) process.nextTick(done);
    else if (this.#isOpen()) this.#waiting.push(done);
    else process.nextTick(done, this.#notOpen());
  }

  /**
   * Emits `pong` later, and sends nothing. The session has heartbeats, and closes if the client does not reconnect.
   *
   * @param data is emitted with `pong`. It may be left out, also if there is a callback. @default no bytes
   * @param mask has no effect. It may be left out, also if there is a callback.
   * @param callback is called after `pong`, or with an error if the socket is closing or closed.
   * @throws TypeError if the data is none of the accepted types.
   * @throws RangeError if the data has more than 125 bytes, and the socket is open.
   */
  ping(
    data?: SocketData | SendCallback,
    mask?: boolean | SendCallback,
    callback?: SendCallback,
  ): void {
    const done = findCallback(data, mask, callback);
    const bytes = toBytes(typeof data === 'function' ? '' : data);
    if (this.#isOpen() && bytes.length > MAX_PING_SIZE) {
      throw new RangeError(`a ping has at most ${MAX_PING_SIZE} bytes, not ${bytes.length}`);
    }
    setImmediate(() => {
      const error = this.#isOpen() ? undefined : this.#notOpen();
      if (!error) this.emit('pong', bytes);
      done?.(error);
    });
  }

  /**
   * Sends nothing, since no client sends pings.
   *
   * @param data has no effect. It may be left out, also if there is a callback.
   * @param mask has no effect. It may be left out, also if there is a callback.
   * @param callback is called later, with an error if the socket is closing or closed.
   */
  pong(
    data?: SocketData | SendCallback,
    mask?: boolean | SendCallback,
    callback?: SendCallback,
  ): void {
    const done = findCallback(data, mask, callback);
    if (done) process.nextTick(done, this.#isOpen() ? undefined : this.#notOpen());
  }

  /**
   * Closes the connection: the client receives everything that was sent before, then the code and the reason.
   *
   * @param code see `SseConnection.close`. @default no code, which the client receives as 1005
   * @throws RangeError if the code or the reason is invalid.
   */
  close(code: number = CloseCode.noStatus, reason: string | Buffer = ''): void {
    this.connection.close(code, String(reason));
  }

  /** Closes the socket at once, with code 1006. The client receives the code 1001 when it is connected. */
  terminate(): void {
    if (this.#isTerminated || this.#isClosed) return;
    this.#isTerminated = true;
    this.connection.close(CloseCode.goingAway);
    // Discards the messages that wait. The connection ends after them.
    if (!this.#isReading) this.#read();
    this.connection.resume();
    process.nextTick(() => this.#onClosed(CloseCode.abnormal, ''));
  }

  /** Pauses the delivery of messages; back-pressure is applied to the client. */
  pause(): void {
    this.#isPaused = true;
    this.connection.pause();
  }

  /** Resumes the delivery of messages. */
  resume(): void {
    this.#isPaused = false;
    this.connection.resume();
  }

  /**
   * Calls `listener` with an event like those of a browser's WebSocket: `data` of a text message is a string. No effect
   * if the listener was added for this type before.
   */
  addEventListener<Type extends keyof SocketEventMap>(
    type: Type,
    listener:
      SocketEventListener<SocketEventMap[Type]> | SocketEventListenerObject<SocketEventMap[Type]>,
    options: SocketListenerOptions = {},
  ): void {
    this.#listeners.add(type, listener, options.once);
  }

  /** Removes a listener that was added for this type with {@link addEventListener}. */
  removeEventListener<Type extends keyof SocketEventMap>(
    type: Type,
    listener:
      SocketEventListener<SocketEventMap[Type]> | SocketEventListenerObject<SocketEventMap[Type]>,
  ): void {
    this.#listeners.remove(type, listener);
  }

  /** Called with each message, as a listener of {@link addEventListener}. */
  get onmessage(): SocketEventListener<SocketEventMap['message']> | null {
    return this.#listeners.getHandler('message');
  }

  set onmessage(handler: SocketEventListener<SocketEventMap['message']> | null) {
    this.#listeners.setHandler('message', handler);
  }

  /** Called when the connection is closed. */
  get onclose(): SocketEventListener<SocketEventMap['close']> | null {
    return this.#listeners.getHandler('close');
  }

  set onclose(handler: SocketEventListener<SocketEventMap['close']> | null) {
    this.#listeners.setHandler('close', handler);
  }

  /** Never called. */
  get onerror(): SocketEventListener<SocketEventMap['error']> | null {
    return this.#listeners.getHandler('error');
  }

  set onerror(handler: SocketEventListener<SocketEventMap['error']> | null) {
    this.#listeners.setHandler('error', handler);
  }

  /** Never called: a server's socket is open when it is created. */
  get onopen(): SocketEventListener<SocketEventMap['open']> | null {
    return this.#listeners.getHandler('open');
  }

  set onopen(handler: SocketEventListener<SocketEventMap['open']> | null) {
    this.#listeners.setHandler('open', handler);
  }

  #read(): void {
    this.#isReading = true;
    this.connection.on('message', (message) => {
      if (this.#isTerminated) return;
      if (Buffer.isBuffer(message)) this.emit('message', this.#convert(message), true);
      else this.emit('message', toBytes(toText(message)), false);
    });
  }

  #convert(bytes: Buffer): Buffer | ArrayBuffer | Buffer[] {
    if (this.binaryType === 'fragments') return [bytes];
    return this.binaryType === 'arraybuffer' ? Uint8Array.from(bytes).buffer : bytes;
  }

  #onClosed(code: number, reason: string): void {
    if (this.#isClosed) return; // a terminated one may move in the same turn
    this.#isClosed = true;
    this.#settle(this.#notOpen());
    this.emit('close', code, Buffer.from(reason));
  }

  #settle(error?: Error): void {
    for (const callback of this.#waiting.splice(0)) callback(error);
  }

  /** Not a variable in `send`, because `send` of the connection may close the socket. */
  #isOpen(): boolean {
    return this.readyState === OPEN;
  }

  #notOpen(): Error {
    const { readyState } = this;
    return new Error(
      `the socket is not open: readyState ${readyState} (${READY_STATES[readyState]})`,
    );
  }
}

/** Returns the callback among the arguments of a method, of which those before it may have been left out. */
function findCallback(...values: unknown[]): SendCallback | undefined {
  return values.find((value): value is SendCallback => typeof value === 'function');
}

/** Converts to text as `ws` does. Other values, which clients other than `SseWebSocket` may send, become JSON. */
function toText(data: unknown): string {
  if (typeof data === 'string') return data;
  const bytes = bytesOf(data);
  return bytes ? toBytes(bytes).toString() : JSON.stringify(data);
}

function toBytes(data: SocketData | null | undefined): Buffer {
  if (data === null || data === undefined) return Buffer.alloc(0);
  if (typeof data === 'number') return Buffer.from(String(data));
  if (typeof data === 'string') return Buffer.from(data);
  if (!ArrayBuffer.isView(data)) return Buffer.from(data);
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}
