import type { AsyncResource } from 'node:async_hooks';
import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { CloseCode, checkClose } from '../protocol/close-code';
import { toJson } from '../protocol/message';
import type { Close } from '../protocol/wire';
import type { EventArguments, SseConnectionEvents } from './connection-events';
import { checkRoom } from './rooms';
import type { Rooms } from './rooms';

/** What a connection needs of its session. */
export interface ConnectionSession {
  readonly id: string;
  readonly principal: string | undefined;
  readonly recovered: boolean;
  readonly context: AsyncResource;
  readonly rooms: Rooms<SseConnection>;
  readonly connected: boolean;
  readonly lifecycle: ConnectionLifecycle;
  readonly bufferedAmount: number;
  readonly unacknowledgedAmount: number;
  readonly subprotocol: string;
  readonly flow: FlowControl;
  /** @throws TypeError as {@link SseConnection.send} does. */
  send(message: unknown): boolean;
  /** Runs a change of the session. In a cluster, the journal records it. */
  inOrder(change: (journal: ConnectionJournal | undefined) => void): void;
}

/** Records what a connection changes. */
export interface ConnectionJournal {
  recordRoom(change: 'join' | 'leave', room: string): void;
  /** @param json '' for no state. */
  recordState(json: string): void;
}

/** What a connection needs of the life cycle of its session. */
export interface ConnectionLifecycle {
  readonly readyState: ReadyState;
  /** Whether `close` was emitted, after which there are no more messages. */
  readonly isCloseEmitted: boolean;
  /** Whether another node owns the session. */
  readonly isMoved: boolean;
  close(close: Close): void;
}

/** Controls when messages are delivered to a connection. */
export interface FlowControl {
  pause(): void;
  resume(): void;
  /** Delivers what has arrived in order, unless the connection is paused. */
  start(): void;
}

/** `readyState` of a connection, with the values of `WebSocket`: 1 open, 2 closing, 3 closed. */
export type ReadyState = 1 | 2 | 3;

/**
 * A client session. It survives reconnections: one session may span several HTTP streams.
 *
 * Messages are kept while there is no `message` listener, reader of {@link stream} or iterator, so that one
 * that is attached after an `await` misses nothing.
 *
 * @typeParam Incoming type of client messages. Not validated.
 * @typeParam Outgoing type of the messages to the client.
 * @typeParam Req type of the request.
 */
export class SseConnection<Incoming = unknown, Outgoing = unknown, Req = IncomingMessage>
  extends EventEmitter<SseConnectionEvents<Incoming, Outgoing>>
  implements AsyncIterable<Incoming>
{
  /** Value of {@link readyState}. */
  static readonly OPEN = 1;
  /** Value of {@link readyState}. */
  static readonly CLOSING = 2;
  /** Value of {@link readyState}. */
  static readonly CLOSED = 3;

  /**
   * The GET request that opened the session. If this node has taken the session over from another one: the GET that
   * resumed it here, or a request without headers if the client had not reconnected yet.
   */
  readonly request: Req;
  /** Arbitrary data of the application for this connection. @default undefined */
  data: unknown = undefined;

  readonly #session: ConnectionSession;
  #state: unknown = undefined;
  #stream: ReadableStream<Incoming> | undefined;
  #sink: WritableStream<Outgoing> | undefined;

  /** @internal Connections are created by the middleware. */
  constructor(session: ConnectionSession, request: Req, state = '') {
    super();
    this.#session = session;
    if (state !== '') this.#state = JSON.parse(state);
    this.request = request;
    this.#watchListeners();
  }

  /**
   * Removes all listeners of an event, or of all events. Messages are then kept until there is a `message` listener.
   *
   * @returns this connection.
   */
  override removeAllListeners(...event: [event?: string | symbol]): this {
    super.removeAllListeners(...event);
    this.#watchListeners();
    return this;
  }

  /** `newListener` is an event of EventEmitter itself, which the type of this emitter omits. */
  #watchListeners(): void {
    const listener = SseConnection.#onNewListener;
    const listeners = EventEmitter.prototype.listeners.call(this, 'newListener');
    if (!listeners.includes(listener))
      EventEmitter.prototype.on.call(this, 'newListener', listener);
  }

  /**
   * Calls the listeners of an event in the asynchronous context of the request that opened the session, whichever
   * request caused the event: an `AsyncLocalStorage` has the same value in all of them.
   *
   * @returns whether there are listeners.
   */
  override emit<Event>(
    event: Event | keyof SseConnectionEvents<Incoming, Outgoing>,
    ...values: EventArguments<SseConnectionEvents<Incoming, Outgoing>, Event>
  ): boolean {
    return this.#session.context.runInAsyncScope(() => super.emit(event, ...values));
  }

  /** One function for all connections: `this` is the connection that it was registered on. */
  static #onNewListener(this: SseConnection, event: string): void {
    if (event === 'message') this.#session.flow.start();
  }

  /** The session id. The client chose it, and it is not authenticated: use `authorize` for identity. */
  get id(): string {
    return this.#session.id;
  }

  /** What `authorize` returned for the client, if that was a string: the user's identity. Else undefined. */
  get principal(): string | undefined {
    return this.#session.principal;
  }

  /**
   * In a cluster: whether this node has taken the session over from another one, which had sent, received or changed
   * something in it. Its rooms and its {@link state} are those that it had there; {@link data} is not. Always false in
   * a single process.
   */
  get recovered(): boolean {
    return this.#session.recovered;
  }

  /**
   * Data of the application that belongs to the session: a JSON-serialisable value, or undefined. In a cluster it
   * moves with the session, and an assignment in a `message` listener takes effect exactly once. Assign a new value to
   * change it: changes inside of the value are not recorded.
   *
   * @throws TypeError on assignment of a value that is not JSON-serialisable.
   * @default undefined
   */
  get state(): unknown {
    return this.#state;
  }

  set state(value: unknown) {
    const json = value === undefined ? '' : toJson(value);
    this.#state = value;
    this.#session.inOrder((journal) => journal?.recordState(json));
  }

  /** The subprotocol that `handleProtocols` of the middleware has chosen, or ''. */
  get subprotocol(): string {
    return this.#session.subprotocol;
  }

  /** Whether a stream to the client is open now, or the client polls. */
  get connected(): boolean {
    return this.#session.connected;
  }

  /**
   * `OPEN`, also while the stream is lost and the client may reconnect; `CLOSING` after `close()`;
   * `CLOSED` when the session has ended.
   */
  get readyState(): ReadyState {
    return this.#session.lifecycle.readyState;
  }

  /** Bytes that were sent and that no socket has accepted yet. */
  get bufferedAmount(): number {
    return this.#session.bufferedAmount;
  }

  /**
   * Bytes that were sent and that the client has not acknowledged. With the default options it acknowledges
   * after 256 KiB, 2,048 messages or one minute, so do not wait for this to become 0.
   */
  get unacknowledgedAmount(): number {
    return this.#session.unacknowledgedAmount;
  }

  /**
   * Sends any JSON-serialisable value, or bytes: an ArrayBuffer or a view such as Buffer, which the client receives as
   * an ArrayBuffer. It is delivered once, in order, even if the stream is lost in the meantime. A Dart client accepts
   * only strings [dart]. A client of another implementation that does not accept bytes is closed with code 1003.
   *
   * @returns `false` if the buffer is full (the message is still queued; wait for `drain` before sending
   * more), or if the connection is not `OPEN` (the message is discarded).
   * @throws TypeError if the message is not JSON-serialisable: `undefined`, a function, a symbol, a
   * BigInt, or a cyclic object; if it is a Blob; or if it is bytes and the client uses the Dart dialect.
   */
  send(message: Outgoing): boolean {
    return this.#session.send(message);
  }

  /**
   * Adds the connection to a room, so that it receives what is sent with `sse.to(room).send()`. Has no effect if
   * it is in the room already, or if it is not `OPEN`. A connection leaves its rooms when it closes.
   *
   * @param room any string but ''.
   * @throws TypeError if the name of the room is not such a string.
   */
  join(room: string): void {
    checkRoom(room);
    if (this.readyState === SseConnection.OPEN) this.#changeRoom('join', room);
  }

  /**
   * Removes the connection from a room. Has no effect if it is not in the room.
   *
   * @throws TypeError if the name of the room is not a string, or is ''.
   */
  leave(room: string): void {
    checkRoom(room);
    this.#changeRoom('leave', room);
  }

  #changeRoom(change: 'join' | 'leave', room: string): void {
    const { rooms } = this.#session;
    this.#session.inOrder((journal) => {
      if (this.readyState === SseConnection.CLOSED) return; // it has left its rooms, before a postponed `join`
      if (rooms[change](this.#asMember, room)) journal?.recordRoom(change, room);
    });
  }

  /** The names of the rooms that the connection is in; after its end, those that it was in. A copy. */
  get rooms(): string[] {
    return this.#session.rooms.namesOf(this.#asMember);
  }

  /** The rooms do not know the application's types. */
  get #asMember(): SseConnection {
    return this as unknown as SseConnection;
  }

  /**
   * Closes the session: the client receives everything that was sent before, then the code and the
   * reason, and does not reconnect. Has no effect if the connection is not `OPEN`.
   *
   * @param code default 1000; 1000 to 1003 and 1007 to 1014 as RFC 6455 §7.4.1 defines them, or 3000 to
   * 4999 for the application's own.
   * @param reason default ''; at most 123 bytes of UTF-8.
   * @throws RangeError if the code or the reason is invalid; the session stays open.
   */
  close(code: number = CloseCode.normal, reason = ''): void {
    checkClose({ code, reason });
    this.#session.lifecycle.close({ code, reason });
  }

  /**
   * Pauses the delivery of messages. Once `highWaterMark` bytes are queued, back-pressure is applied to
   * the client.
   */
  pause(): void {
    this.#session.flow.pause();
  }

  /** Resumes the delivery of messages. */
  resume(): void {
    this.#session.flow.resume();
  }

  /**
   * A ReadableStream of the client's messages. It ends with the session, after the last message, and in a cluster when
   * the session moves to another node. While nobody reads, back-pressure is applied to the client. Cancelling it closes
   * the connection.
   */
  get stream(): ReadableStream<Incoming> {
    return (this.#stream ??= this.#openStream());
  }

  /**
   * A WritableStream to the client. `write()` resolves when the connection can accept more data.
   * Closing or aborting the stream closes the connection. When the connection closes, or emits `moved`, the stream
   * errors.
   */
  get sink(): WritableStream<Outgoing> {
    return (this.#sink ??= this.#openSink());
  }

  /** Alias of {@link stream}: with {@link writable}, a connection is a pair for `pipeThrough`. */
  get readable(): ReadableStream<Incoming> {
    return this.stream;
  }

  /** Alias of {@link sink}: with {@link readable}, a connection is a pair for `pipeThrough`. */
  get writable(): WritableStream<Outgoing> {
    return this.sink;
  }

  /** Iterates over the messages of {@link stream}: `for await (const message of connection)`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Incoming> {
    return this.stream[Symbol.asyncIterator]();
  }

  #openStream(): ReadableStream<Incoming> {
    // Paused before the listener is added, so that the reader and not the listener starts the delivery.
    this.#session.flow.pause();
    let removeListeners = () => {};
    return new ReadableStream<Incoming>(
      {
        start: (controller) => {
          const { isCloseEmitted, isMoved } = this.#session.lifecycle;
          if (isCloseEmitted || isMoved) return controller.close();
          const onMessage = (message: Incoming) => {
            controller.enqueue(message);
            if ((controller.desiredSize ?? 0) <= 0) this.pause();
          };
          const onEnd = () => {
            removeListeners(); // a stream that has ended accepts nothing more
            controller.close();
          };
          removeListeners = () =>
            this.off('message', onMessage).off('close', onEnd).off('moved', onEnd);
          this.on('message', onMessage).on('close', onEnd).on('moved', onEnd);
        },
        pull: () => this.resume(),
        cancel: (reason) => {
          removeListeners();
          this.on('message', discard);
          this.resume();
          this.close(CloseCode.normal, toCloseReason(reason));
        },
      },
      { highWaterMark: 0 },
    );
  }

  #openSink(): WritableStream<Outgoing> {
    return new WritableStream<Outgoing>({
      start: (controller) => {
        const fail = () => controller.error(this.#endError());
        // One turn later, so that a pipe from `stream`, which ends now, ends without an error.
        const failLater = () => setImmediate(fail);
        if (this.readyState === SseConnection.CLOSED) fail();
        else this.on('close', failLater).on('moved', failLater);
      },
      write: (message) => {
        if (this.send(message)) return undefined;
        // The connection closed before, or because of this message, which exceeded `maxBufferedAmount`.
        if (this.readyState !== SseConnection.OPEN) throw this.#endError();
        return new Promise<void>((resolve) => {
          const settle = () => {
            this.off('drain', settle).off('close', settle).off('moved', settle);
            resolve();
          };
          this.on('drain', settle).on('close', settle).on('moved', settle);
        });
      },
      close: () => this.close(),
      abort: (reason) => this.close(CloseCode.normal, toCloseReason(reason)),
    });
  }

  /** Returns the error of a message that is written to {@link sink} after the end. */
  #endError(): Error {
    const { isMoved, isCloseEmitted } = this.#session.lifecycle;
    return new Error(
      isMoved && !isCloseEmitted
        ? 'the session has moved to another node: send with its connection object there'
        : 'the connection is closed: check readyState, or listen for "close"',
    );
  }
}

/** Listener of a connection whose reader has cancelled the stream. */
function discard(): void {}

/** The reason that a Web Stream was cancelled or aborted with, cut to what a close reason may hold. */
function toCloseReason(reason: unknown): string {
  const text = reason instanceof Error ? reason.message : reason;
  return typeof text === 'string' ? text.slice(0, 40) : ''; // at most 3 bytes per UTF-16 code unit
}
