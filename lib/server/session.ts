import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { nanoid } from 'nanoid';
import { ReorderBuffer } from '../protocol/reorder-buffer';
import type { OrderedReceiver } from '../protocol/reorder-buffer';
import { CloseCode, validateClose } from '../protocol/close-code';
import type { Close, Envelope, PostResponse } from '../protocol/wire';
import { SendBuffer } from './send-buffer';
import { WRITE_SIZE } from './batch';
import type { PreparedMessage } from './batch';
import { diagnose } from './diagnostics';
import type { Dialect } from './dialect';
import { emit } from './emit';
import type { EventStream, EventStreamOwner } from './event-stream-response';
import type { Beating, Heartbeat } from './heartbeat';
import type { ResolvedOptions } from './options';
import { SseRequestError } from './request-error';
import { SseConnection } from './sse-connection';
import type { ConnectionSession, ReadyState } from './sse-connection';

/** A client that stays silent for this many of its idle intervals is gone. */
const SILENCE = 2.5;
/** A client's idle interval, in heartbeats. */
const IDLE_HEARTBEATS = 4;
/** When a client owes an acknowledgement, at the latest. */
const ACK_AFTER = { messages: 2048, bytes: 256 * 1024 };
/** The part of `maxBufferedAmount` after which it does, so that several are due before the bound. */
const ACK_PART = 1 / 8;
/** The part that is kept for what is sent all the same after `send` returned false. */
const KEPT_PART = 1 / 2;
/** How long a client that was told the end has, at least, to confirm it. */
const CLOSE_TIMEOUT = 5_000;
/** How long a base-dialect order of unknown start waits for a lower number. */
const SETTLE_TIMEOUT = 1_000;

/** Whoever keeps the sessions. */
export interface SessionKeeper {
  /** Of the middleware. */
  readonly path: string;
  readonly settings: ResolvedOptions;
  readonly heartbeat: Heartbeat;
  /** The application was told of the end. */
  sessionClosed(session: Session): void;
  /** Nobody will come back to it. */
  sessionGone(session: Session): void;
}

interface Inbound {
  message: unknown;
  size: number;
}

/** One client's session: what is sent and received, over one stream after another. */
export class Session
  implements ConnectionSession, EventStreamOwner, Beating, OrderedReceiver<unknown>
{
  readonly id: string;
  readonly dialect: Dialect;
  readonly principal: string | undefined;
  readonly connection: SseConnection;

  readonly #token = nanoid();
  readonly #keeper: SessionKeeper;
  #readyState: ReadyState = SseConnection.OPEN;
  /** Why it ends or ended, from CLOSING on. */
  #closing: Close | undefined;

  // Down.
  readonly #backlog = new SendBuffer();
  #stream: EventStream | undefined;
  #opened = false;
  #owesDrain = false;
  #flushScheduled = false;
  #closeWritten = false;
  /** What was unacknowledged at the end. */
  #unacknowledged: ReturnType<SendBuffer['clear']> | undefined;
  #endTold = false;
  /** While no stream stands, or the end waits to be confirmed. */
  #returnTimer: NodeJS.Timeout | undefined;
  readonly #heartbeatSlot: number;

  // Up.
  readonly #order: ReorderBuffer<unknown>;
  readonly #inbox: Inbound[] = [];
  #inboxBytes = 0;
  #flow: 'initial' | 'flowing' | 'paused' = 'initial';
  /** The one POST that waits for room in the inbox. */
  #held: ((hasRoom: boolean) => void) | undefined;
  /** Base dialect: a message is missing, or the first is not known. */
  #gapTimer: NodeJS.Timeout | undefined;
  #gapAt = 0;
  /** Monotonic: when the client last showed a sign of life. */
  #heardAt = performance.now();

  constructor(
    keeper: SessionKeeper,
    id: string,
    dialect: Dialect,
    principal: string | undefined,
    request: IncomingMessage,
    firstNumber: 0 | 'unknown',
  ) {
    this.#keeper = keeper;
    this.id = id;
    this.dialect = dialect;
    this.principal = principal;
    const { reorderWindow, maxBufferedAmount } = keeper.settings;
    this.#order = new ReorderBuffer(this, reorderWindow, maxBufferedAmount, firstNumber);
    this.connection = new SseConnection(this, request);
    this.#heartbeatSlot = keeper.heartbeat.start(this);
  }

  get connected(): boolean {
    return this.#stream !== undefined;
  }

  get readyState(): ReadyState {
    return this.#readyState;
  }

  get isOver(): boolean {
    return this.#endTold;
  }

  get bufferedAmount(): number {
    return this.#backlog.unreadBytes + (this.#stream?.writableLength ?? 0);
  }

  get unacknowledgedAmount(): number {
    return this.dialect.confirms ? this.#backlog.byteLength : this.#backlog.unreadBytes;
  }

  // --- Proof ---------------------------------------------------------------------------------------

  /** Whether a request that names this token, made by this principal, is the session's own. */
  isProvedBy(token: string, principal: string | undefined): boolean {
    const given = Buffer.from(token);
    const own = Buffer.from(this.#token);
    const isOwn = given.length === own.length && timingSafeEqual(given, own);
    return isOwn && principal === this.principal;
  }

  // --- Down ----------------------------------------------------------------------------------------

  send(message: unknown): boolean {
    const json = toJson(message);
    if (this.#readyState !== SseConnection.OPEN) return false;
    this.#backlog.push(json);
    if (!this.#scheduleWrite()) return false;
    if (this.#isReady) return true;
    this.#owesDrain = true;
    return false;
  }

  /** Sends what others are sent, too. Without effect on a session that is no longer open. */
  share(broadcast: PreparedMessage): void {
    if (this.#readyState !== SseConnection.OPEN) return;
    this.#backlog.share(broadcast);
    this.#scheduleWrite();
  }

  /** Returns false where what was sent passed the bound, and ended the session. */
  #scheduleWrite(): boolean {
    const { maxBufferedAmount } = this.#keeper.settings;
    if (this.unacknowledgedAmount > maxBufferedAmount) {
      this.#diagnoseOverflow('down', this.unacknowledgedAmount);
      const reason = `over ${maxBufferedAmount} bytes unacknowledged (maxBufferedAmount)`;
      this.#abandon({ code: CloseCode.policyViolation, reason });
      return false;
    }
    this.#scheduleFlush();
    return true;
  }

  /**
   * Whether more may be sent: the sockets keep up, and so does the client. One whose POST is held, or
   * does not get through, cannot confirm: whoever waits for `drain` must not run into the bound.
   */
  get #isReady(): boolean {
    const { highWaterMark } = this.#keeper.settings;
    return this.bufferedAmount < highWaterMark && this.#isConfirmed;
  }

  get #isConfirmed(): boolean {
    return this.unacknowledgedAmount <= this.#keeper.settings.maxBufferedAmount * KEPT_PART;
  }

  /** Whether a client that has received so many messages can have the rest. */
  canResume(received: number): boolean {
    // One that is over has nothing more to write but why.
    const first = this.#readyState === SseConnection.CLOSED ? 0 : this.#backlog.first;
    return received >= first && received <= this.#backlog.sent;
  }

  /**
   * Makes this the session's stream: an older one ends, what the client lacks is written, then what is
   * new.
   *
   * @param received how many messages the client has; {@link canResume} must hold.
   */
  attach(stream: EventStream, received: number): void {
    const resumed = this.#opened;
    this.#opened = true;
    this.#heardAt = performance.now();
    clearTimeout(this.#returnTimer);
    const older = this.#stream;
    this.#stream = stream;
    if (older) {
      older.destroy();
      this.#tellOpen('disconnect');
    }

    this.#backlog.confirm(received);
    this.#backlog.rewind();
    this.#closeWritten = false;
    const { heartbeatInterval, maxPayload } = this.#keeper.settings;
    const opening = this.dialect.opening({
      token: this.#token,
      resumed,
      sent: received,
      received: this.#order.next,
      heartbeat: heartbeatInterval,
      ackAfter: { ...ACK_AFTER, bytes: this.#ackBytes, idle: this.#idleInterval },
      maxPayload,
    });
    stream.write(Buffer.from(opening));
    this.#flush();
    if (resumed) this.#tellOpen('reconnect');
  }

  #confirm(count: number): void {
    const { sent } = this.#backlog;
    if (count > sent) {
      throw new SseRequestError(
        'bad-request',
        `"ack" is ${count}, but only ${sent} messages were sent`,
      );
    }
    this.#backlog.confirm(count);
    if (this.#owesDrain) this.#scheduleFlush();
  }

  beat(): void {
    const stream = this.#stream;
    if (!stream) return;
    const silence = performance.now() - this.#heardAt;
    if (this.dialect.confirms && silence > SILENCE * this.#idleInterval) return stream.destroy();
    if (!stream.writable) return;
    const ping = this.dialect.ping({ sent: this.#backlog.read, received: this.#order.next });
    stream.write(Buffer.from(ping));
  }

  streamDrained(stream: EventStream): void {
    if (stream === this.#stream) this.#flush();
  }

  streamClosed(stream: EventStream, finished: boolean): void {
    if (stream !== this.#stream) return; // the late end of an older stream
    this.#stream = undefined;
    this.#tellOpen('disconnect');
    const endSent = this.#closeWritten && finished;
    if (endSent && !this.dialect.confirms) return this.#leave();
    this.#awaitReturn(endSent ? CLOSE_TIMEOUT : 0);
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || !this.#stream) return;
    this.#flushScheduled = true;
    unflushed.push(this);
    if (unflushed.length === 1) setImmediate(flushAll);
  }

  /** Writes what the stream takes. */
  flush(): void {
    this.#flushScheduled = false;
    this.#flush();
  }

  #flush(): void {
    const stream = this.#stream;
    if (!stream) return;
    const backlog = this.#backlog;
    const { messagePrefix } = this.dialect;
    const prefix = messagePrefix && ((number: number) => messagePrefix(this.#token, number));
    while (stream.writable && backlog.read < backlog.sent) {
      stream.write(backlog.take(WRITE_SIZE, prefix));
    }
    if (!this.dialect.confirms) this.#forget();
    if (!stream.writable) return; // else all is read

    if (this.#closing && !this.#closeWritten) {
      this.#closeWritten = true;
      stream.write(Buffer.from(this.dialect.close(this.#closing)));
      stream.end();
    } else if (this.#owesDrain && this.#isConfirmed) {
      this.#owesDrain = false;
      this.#tellOpen('drain');
    }
  }

  /** Lets go of what was written to a client that never confirms, past `maxReplayBytes`. */
  #forget(): void {
    const { maxReplayBytes } = this.#keeper.settings;
    const backlog = this.#backlog;
    while (
      backlog.first < backlog.read &&
      backlog.byteLength - backlog.unreadBytes > maxReplayBytes
    ) {
      backlog.confirm(backlog.first + 1);
    }
  }

  get #ackBytes(): number {
    const { maxBufferedAmount } = this.#keeper.settings;
    return Math.max(1, Math.min(ACK_AFTER.bytes, Math.floor(maxBufferedAmount * ACK_PART)));
  }

  get #idleInterval(): number {
    return IDLE_HEARTBEATS * this.#keeper.settings.heartbeatInterval;
  }

  // --- Up ------------------------------------------------------------------------------------------

  /**
   * Takes a duplex POST.
   *
   * @throws SseRequestError when it is refused; the client sends it again where that may help.
   */
  async receive(envelope: Envelope, size: number): Promise<PostResponse> {
    const { id, ack, messages, close } = envelope;
    if (close && this.#readyState === SseConnection.CLOSED) {
      // It knows, and learns what came too late.
      this.#leave();
      return { received: this.#order.next };
    }
    this.#refuseClosed();
    this.#heardAt = performance.now();
    this.#confirm(ack);

    if (messages.length > 0 && !this.#hasRoom) {
      if (this.#held || !(await this.#room())) {
        throw new SseRequestError(
          'service-unavailable',
          'the application is not reading: send it again later',
          {
            headers: { 'Retry-After': '1' },
          },
        );
      }
      this.#refuseClosed();
    }
    const each = size / (messages.length || 1);
    const offers = messages.map((message, index) => this.#order.insert(id + index, message, each));
    this.#deliver();
    // What was answered at once goes out before the receipt, and not a turn of the event loop later.
    if (this.#flushScheduled) this.#flush();
    if (offers.includes('out-of-window')) throw outsideWindow(id, this.#order.next);

    if (close) {
      if (id + messages.length > this.#order.next) throw outsideWindow(id, this.#order.next);
      this.#finish(this.#closing ?? close);
      this.#leave();
    }
    return { received: this.#order.next };
  }

  /**
   * Takes a base-dialect POST.
   *
   * @param number undefined from Dart's clients before 3.6: delivered as it comes.
   * @throws SseRequestError when it is refused.
   */
  receiveOne(number: number | undefined, message: unknown, size: number): PostResponse {
    this.#refuseClosed();
    this.#heardAt = performance.now();
    if (number === undefined) {
      this.deliver(message, size);
    } else if (this.#order.insert(number, message, size) === 'out-of-window') {
      throw outsideWindow(number, this.#order.next);
    }
    this.#afterOne();
    return { received: this.#order.next };
  }

  /** The next message, in order. */
  deliver(message: unknown, size: number): void {
    this.#inbox.push({ message, size });
    this.#inboxBytes += size;
  }

  /** Base dialect: the message with this number was refused, and will not be sent again [dart]. */
  skip(number: number): void {
    if (this.#readyState === SseConnection.CLOSED) return;
    this.#order.skip(number);
    this.#afterOne();
  }

  #afterOne(): void {
    this.#deliver();
    const { maxBufferedAmount } = this.#keeper.settings;
    if (this.#inboxBytes > maxBufferedAmount) {
      // Its client cannot be pushed back on.
      this.#diagnoseOverflow('up', this.#inboxBytes);
      const reason = `over ${maxBufferedAmount} bytes unread (maxBufferedAmount)`;
      return this.#abandon({ code: CloseCode.policyViolation, reason });
    }
    this.#watchGap();
  }

  /** A gap that does not fill ends the session: it never waits for ever, and it never skips. */
  #watchGap(): void {
    if (!this.#order.hasStarted) {
      if (this.#order.size === 0) return;
      this.#gapTimer ??= setTimeout(() => {
        this.#gapTimer = undefined;
        this.#order.start();
        this.#afterOne();
      }, SETTLE_TIMEOUT).unref();
      return;
    }
    if (this.#gapTimer && this.#order.next === this.#gapAt) return;
    clearTimeout(this.#gapTimer);
    this.#gapTimer = undefined;
    if (this.#order.size === 0 || this.#readyState === SseConnection.CLOSED) return;
    const { reorderTimeout } = this.#keeper.settings;
    this.#gapAt = this.#order.next;
    this.#gapTimer = setTimeout(() => {
      const reason = `message ${this.#gapAt} did not arrive within ${reorderTimeout} ms (reorderTimeout)`;
      this.#abandon({ code: CloseCode.protocolError, reason });
    }, reorderTimeout).unref();
  }

  pause(): void {
    this.#flow = 'paused';
  }

  resume(): void {
    if (this.#flow === 'flowing') return;
    this.#flow = 'flowing';
    // Not in the caller's tick: a `message` listener may be about to be attached.
    queueMicrotask(() => this.#deliver());
  }

  start(): void {
    if (this.#flow === 'initial') this.resume();
  }

  #deliver(): void {
    // Cut once, at the end: an array's `shift` costs as much, for each.
    let read = 0;
    for (let inbound; this.#flow === 'flowing' && (inbound = this.#inbox[read]); read++) {
      this.#inboxBytes -= inbound.size;
      emit(this.connection, 'message', inbound.message);
    }
    this.#inbox.splice(0, read);
    if (this.#hasRoom) this.#held?.(true);
    if (this.#readyState === SseConnection.CLOSED && this.#inbox.length === 0) this.#tellEnd();
  }

  get #hasRoom(): boolean {
    const { highWaterMark, reorderWindow } = this.#keeper.settings;
    return this.#inbox.length <= reorderWindow && this.#inboxBytes < highWaterMark;
  }

  /**
   * Waits until the inbox has room: true; or for a heartbeat, which is shorter than a client's and any
   * proxy's patience: false. One POST waits at a time.
   */
  #room(): Promise<boolean> {
    return new Promise((resolve) => {
      const { heartbeatInterval } = this.#keeper.settings;
      const timer = setTimeout(() => this.#held?.(false), heartbeatInterval).unref();
      this.#held = (hasRoom) => {
        clearTimeout(timer);
        this.#held = undefined;
        resolve(hasRoom);
      };
    });
  }

  // --- The end -------------------------------------------------------------------------------------

  close(code: number, reason: string): void {
    const fault = validateClose(code, reason);
    if (fault) throw new RangeError(fault);
    this.end({ code, reason });
  }

  /** Ends in order: the client gets what was sent, then this. */
  end(close: Close): void {
    if (this.#readyState !== SseConnection.OPEN) return;
    this.#readyState = SseConnection.CLOSING;
    this.#closing = close;
    // Without a stream its client has until the reconnect timeout to come back for the rest.
    this.#scheduleFlush();
  }

  /** Ends now: waits for nobody. */
  drop(close: Close): void {
    this.#finish(this.#closing ?? close);
    this.#leave();
  }

  /**
   * Ends a session that passed a bound: what was not written yet never is, and its client is told so,
   * now or when it comes back.
   */
  #abandon(close: Close): void {
    if (this.#readyState === SseConnection.CLOSED) return;
    this.#finish(close);
    if (!this.#stream) this.#awaitReturn();
    else if (this.#stream.writable) this.#flush();
    else this.#stream.destroy(); // stalled: it learns when it comes back
  }

  /** From here on nothing is sent or taken. The application is told after the last message. */
  #finish(close: Close): void {
    if (this.#readyState === SseConnection.CLOSED) return;
    this.#readyState = SseConnection.CLOSED;
    this.#closing = close;

    const backlog = this.#backlog;
    this.#unacknowledged = backlog.clear(this.dialect.confirms ? backlog.first : backlog.read);
    clearTimeout(this.#gapTimer);
    this.#held?.(false);

    if (this.#inbox.length === 0) return this.#tellEnd();
    // Where nobody has asked for messages, and never does, the end must be heard of all the same.
    const { reconnectTimeout } = this.#keeper.settings;
    setTimeout(() => {
      if (this.#flow === 'initial') this.#tellEnd();
    }, reconnectTimeout).unref();
  }

  /** Nobody comes back: the session is let go of. */
  #leave(): void {
    if (this.#closing) this.#finish(this.#closing);
    clearTimeout(this.#returnTimer);
    this.#keeper.heartbeat.stop(this, this.#heartbeatSlot);
    this.#stream?.end();
    this.#keeper.sessionGone(this);
  }

  /** @param least how long its client has in any case. */
  #awaitReturn(least = 0): void {
    const { reconnectTimeout } = this.#keeper.settings;
    const timeout = Math.max(reconnectTimeout, least);
    const giveUp = () => {
      const reason = `the client did not come back within ${timeout} ms`;
      this.#finish(this.#closing ?? { code: CloseCode.abnormal, reason });
      this.#leave();
    };
    if (timeout === 0) return giveUp();
    clearTimeout(this.#returnTimer);
    this.#returnTimer = setTimeout(giveUp, timeout).unref();
  }

  #refuseClosed(): void {
    if (this.#readyState !== SseConnection.CLOSED) return;
    const { code, reason } = this.#closing as Close;
    throw new SseRequestError('session-closed', `the session is closed: ${code} ${reason}`, {
      body: { close: { code, reason } },
    });
  }

  #tellOpen(event: 'disconnect' | 'reconnect' | 'drain'): void {
    if (this.#readyState !== SseConnection.OPEN) return;
    if (event !== 'drain') diagnose(`sse-duplex:${event}`, this.#diagnosed);
    emit(this.connection, event);
  }

  #diagnoseOverflow(direction: 'down' | 'up', bytes: number): void {
    diagnose('sse-duplex:overflow', { ...this.#diagnosed, direction, bytes });
  }

  get #diagnosed() {
    return { path: this.#keeper.path, connection: this.connection };
  }

  #tellEnd(): void {
    if (this.#endTold) return;
    this.#endTold = true;
    this.#inbox.length = 0;
    this.#keeper.sessionClosed(this);
    const { code, reason } = this.#closing as Close;
    const { length, decode } = this.#unacknowledged as ReturnType<SendBuffer['clear']>;
    diagnose('sse-duplex:close', { ...this.#diagnosed, code, reason, unacknowledged: length });
    emit(this.connection, 'close', code, reason, {
      get unacknowledged() {
        return decode();
      },
    });
  }
}

/** Sessions that sent in this turn of the event loop. */
const unflushed: Session[] = [];

function flushAll(): void {
  for (const session of unflushed.splice(0)) session.flush();
}

/** @throws TypeError */
export function toJson(message: unknown): string {
  const json = JSON.stringify(message) as string | undefined;
  if (json === undefined) {
    throw new TypeError(`a message must have a JSON form, which ${typeof message} has not`);
  }
  return json;
}

function outsideWindow(number: number, next: number): SseRequestError {
  return new SseRequestError(
    'out-of-window',
    `message ${number} cannot be taken: the next is ${next}, and those before it must come first ` +
      `(option "reorderWindow")`,
  );
}
