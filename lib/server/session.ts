import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { nanoid } from 'nanoid';
import { CloseCode } from '../protocol/close-code';
import { MISSED_INTERVALS } from '../protocol/wire';
import type { Close, Envelope, PostResponse } from '../protocol/wire';
import type { PreparedMessage } from './batch';
import { Deadline } from './deadline';
import { diagnose } from './diagnostics';
import type { Dialect } from './dialect';
import { emit } from './emit';
import type { EventStream, EventStreamOwner } from './event-stream';
import type { HeartbeatTarget } from './heartbeat';
import type { ResolvedOptions } from './options';
import { Receiver } from './receiver';
import type { ReceiverOwner } from './receiver';
import { SseRequestError, unknownSession } from './request-error';
import type { Discarded } from './send-buffer';
import { Sender, idleInterval } from './sender';
import type { SenderOwner } from './sender';
import type { SessionOwner } from './session-owner';
import { SseConnection } from './sse-connection';
import type { ConnectionSession, FlowControl, ReadyState } from './sse-connection';

/** Shortest time in milliseconds that a client has to answer the close event. */
const CLOSE_TIMEOUT = 5_000;
/** Time in milliseconds that an application has to add a `message` listener to a closed connection. */
const LISTENER_TIMEOUT = 30_000;

/**
 * The session of one client: its state, its token, and the streams that carry it one after another.
 * {@link Sender} and {@link Receiver} do the rest.
 */
export class Session
  implements ConnectionSession, EventStreamOwner, HeartbeatTarget, SenderOwner, ReceiverOwner
{
  readonly id: string;
  readonly dialect: Dialect;
  readonly principal: string | undefined;
  readonly connection: SseConnection;
  readonly token = nanoid();

  readonly #owner: SessionOwner;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #heartbeatSlot: number;
  #readyState: ReadyState = SseConnection.OPEN;
  #closeInfo: Close | undefined;
  #wasAttached = false;
  /** The last poll has ended after its events, and the client is expected to send the next one. */
  #isBetweenPolls = false;
  #isReleased = false;
  #isCloseEmitted = false;
  /** What was unacknowledged when the session closed. */
  #unacknowledged: Discarded | undefined;
  /** Runs while no stream is attached. */
  #reconnectDeadline: Deadline | undefined;
  /** Runs while a closed session has messages that the application does not listen for. */
  #listenerDeadline: Deadline | undefined;
  /** Time of the client's last request, on the monotonic clock. */
  #lastActivityAt = performance.now();

  /** @param firstNumber number of the client's first message: see `ReorderBuffer`. */
  constructor(
    owner: SessionOwner,
    id: string,
    dialect: Dialect,
    principal: string | undefined,
    request: IncomingMessage,
    firstNumber: 0 | 'unknown',
  ) {
    this.#owner = owner;
    this.id = id;
    this.dialect = dialect;
    this.principal = principal;
    this.#sender = new Sender(this);
    this.#receiver = new Receiver(this, firstNumber);
    this.connection = new SseConnection(this, request, owner.rooms);
    this.#heartbeatSlot = owner.heartbeat.start(this);
  }

  get options(): ResolvedOptions {
    return this.#owner.options;
  }

  get connected(): boolean {
    return this.#sender.stream !== undefined || this.#isBetweenPolls;
  }

  get readyState(): ReadyState {
    return this.#readyState;
  }

  /** The code and reason of the end, while the session is closing or closed. */
  get closeInfo(): Close | undefined {
    return this.#closeInfo;
  }

  get isCloseEmitted(): boolean {
    return this.#isCloseEmitted;
  }

  get bufferedAmount(): number {
    return this.#sender.bufferedAmount;
  }

  get unacknowledgedAmount(): number {
    return this.#sender.unacknowledgedAmount;
  }

  /** Whether a request with this token, made by this principal, belongs to the session. */
  authenticates(token: string, principal: string | undefined): boolean {
    const given = Buffer.from(token);
    const own = Buffer.from(this.token);
    const isOwnToken = given.length === own.length && timingSafeEqual(given, own);
    return isOwnToken && principal === this.principal;
  }

  // --- Streams -------------------------------------------------------------------------------------

  /** Whether a client that has received this many messages can be sent all the others. */
  canResume(received: number): boolean {
    // A closed session writes nothing but its close event.
    const oldest = this.#readyState === SseConnection.CLOSED ? 0 : this.#sender.oldest;
    return received >= oldest && received <= this.#sender.sent;
  }

  /**
   * Makes `stream` the stream of the session instead of a previous one. Writes what the client lacks.
   *
   * @param received number of messages that the client has received; {@link canResume} must hold.
   * @returns whether the client has reconnected, and not just sent its next poll.
   */
  attach(stream: EventStream, received: number): boolean {
    const isContinued = this.#isBetweenPolls;
    const isReconnection = this.#wasAttached && !isContinued;
    this.#isBetweenPolls = false;
    this.#lastActivityAt = performance.now();
    this.#reconnectDeadline?.clear();
    const previous = this.#sender.stream;
    this.#sender.attach(stream, {
      resumed: this.#wasAttached,
      sent: received,
      received: this.#receiver.received,
    });
    this.#wasAttached = true;
    if (previous) {
      previous.destroy();
      this.#emitIfOpen('disconnect');
    }
    if (isReconnection) this.#emitIfOpen('reconnect');
    if (stream.isPoll && !isContinued) this.ping(); // answers at once: the client learns that it is connected
    return isReconnection;
  }

  onStreamDrained(stream: EventStream): void {
    if (stream === this.#sender.stream) this.#sender.flush();
  }

  onStreamClosed(stream: EventStream, isFinished: boolean): void {
    if (stream !== this.#sender.stream) return; // a previous stream
    this.#sender.detach();
    if (this.#isReleased) return;
    const isCloseSent = this.#sender.isCloseWritten && isFinished;
    this.#isBetweenPolls = stream.isPoll && isFinished && !isCloseSent;
    if (!this.#isBetweenPolls) this.#emitIfOpen('disconnect');
    if (isCloseSent && !this.dialect.acknowledges) this.#release();
    else this.#waitForClient(isCloseSent ? CLOSE_TIMEOUT : 0);
  }

  ping(): void {
    const { stream } = this.#sender;
    if (!stream) return;
    const silence = performance.now() - this.#lastActivityAt;
    const isSilent = silence > MISSED_INTERVALS * idleInterval(this.options, stream.isPoll);
    if (this.dialect.acknowledges && isSilent) {
      stream.destroy();
    } else if (stream.isWritable) {
      const { written } = this.#sender;
      const ping = this.dialect.ping({ sent: written, received: this.#receiver.received });
      stream.write(Buffer.from(ping));
    }
  }

  // --- Messages ------------------------------------------------------------------------------------

  /** @returns whether more may be sent before `drain`; false if the session is not open. */
  send(json: string): boolean {
    return this.#readyState === SseConnection.OPEN && this.#sender.send(json);
  }

  /**
   * Sends a message that other sessions are sent as well. Has no effect unless the session is open.
   *
   * @returns false if the session exceeds `maxBufferedAmount`: see {@link failIfOverflowing}.
   */
  sendPrepared(message: PreparedMessage): boolean {
    return this.#readyState !== SseConnection.OPEN || this.#sender.sendPrepared(message);
  }

  /** Closes the session with code 1008 if it exceeds `maxBufferedAmount`. */
  failIfOverflowing(): void {
    this.#sender.failIfOverflowing();
  }

  /**
   * Handles the body of a duplex POST.
   *
   * @param size of the body in bytes.
   * @throws SseRequestError if the batch is not accepted.
   */
  async receiveBatch(envelope: Envelope, size: number): Promise<PostResponse> {
    const { id, ack, messages, close } = envelope;
    if (close && this.#readyState === SseConnection.CLOSED) {
      // The client answers the close event. The response tells it which messages were accepted.
      this.#release();
      return { received: this.#receiver.received, closed: true };
    }
    this.#rejectIfClosed();
    this.#lastActivityAt = performance.now();
    if (this.#isBetweenPolls) this.#waitForClient();
    this.#sender.acknowledge(ack);

    if (messages.length > 0) {
      if (!this.#receiver.hasCapacity) {
        await this.#receiver.waitForCapacity();
        this.#rejectIfClosed();
      }
      const isInWindow = this.#receiver.receiveBatch(id, messages, size);
      // What the application replied is written before the POST's response, not a turn later.
      this.#sender.flushIfScheduled();
      if (!isInWindow) throw this.#receiver.outOfWindow(id);
    }
    if (close) {
      const areAllReceived = id + messages.length <= this.#receiver.received;
      if (!areAllReceived) throw this.#receiver.outOfWindow(id);
      this.#setClosed(this.#closeInfo ?? close);
      this.#release();
      return { received: this.#receiver.received, closed: true };
    }
    return { received: this.#receiver.received };
  }

  /**
   * Handles the body of a POST of the Dart dialect.
   *
   * @param size of the body in bytes.
   * @throws SseRequestError if the message is not accepted.
   */
  receiveMessage(number: number | undefined, message: unknown, size: number): PostResponse {
    this.#rejectIfClosed();
    this.#lastActivityAt = performance.now();
    this.#receiver.receiveMessage(number, message, size);
    return { received: this.#receiver.received };
  }

  /** Dart dialect: a message was rejected; its number is not sent again [dart]. */
  skip(number: number): void {
    this.#receiver.skip(number);
  }

  get flow(): FlowControl {
    return this.#receiver;
  }

  onReceiveBufferEmpty(): void {
    if (this.#readyState === SseConnection.CLOSED) this.#emitClose();
  }

  onDrain(): void {
    this.#emitIfOpen('drain');
  }

  onOverflow(direction: 'down' | 'up', bytes: number): void {
    const { maxBufferedAmount } = this.options;
    diagnose('sse-duplex:overflow', { ...this.#diagnosticContext, direction, bytes });
    const kind = direction === 'down' ? 'unacknowledged' : 'unread';
    const reason = `more than ${maxBufferedAmount} bytes ${kind} (option "maxBufferedAmount")`;
    this.#fail({ code: CloseCode.policyViolation, reason });
  }

  onMissingMessage(number: number): void {
    const reason = `message ${number} did not arrive within ${this.options.reorderTimeout} ms (option "reorderTimeout")`;
    this.#fail({ code: CloseCode.protocolError, reason });
  }

  // --- The end -------------------------------------------------------------------------------------

  /** Closes the session after everything that was sent: the client receives that, then `close`. */
  close(close: Close): void {
    if (this.#readyState !== SseConnection.OPEN) return;
    this.#readyState = SseConnection.CLOSING;
    this.#closeInfo = close;
    // Without a stream, the client has until `reconnectTimeout` to receive the rest.
    this.#sender.scheduleFlush();
  }

  /** Closes the session immediately, without waiting for the client. */
  terminate(close: Close): void {
    this.#setClosed(this.#closeInfo ?? close);
    this.#release();
  }

  /**
   * Closes a session that exceeded a limit. Messages that are not written yet are discarded; the client
   * receives the close event now or when it reconnects.
   */
  #fail(close: Close): void {
    if (this.#readyState === SseConnection.CLOSED) return;
    this.#setClosed(close);
    const { stream } = this.#sender;
    if (!stream) this.#waitForClient();
    else if (stream.isWritable) this.#sender.flush();
    else stream.destroy(); // a client that does not read receives the close event when it reconnects
  }

  /** From now on nothing is sent or received. `close` is emitted after the last message. */
  #setClosed(close: Close): void {
    if (this.#readyState === SseConnection.CLOSED) return;
    this.#readyState = SseConnection.CLOSED;
    this.#closeInfo = close;
    this.#unacknowledged = this.#sender.clear();
    this.#receiver.close();
    this.#owner.onSessionClosed(this);
    if (this.#receiver.isEmpty) {
      this.#emitClose();
    } else if (!this.#receiver.hasListener) {
      this.#listenerDeadline = new Deadline(LISTENER_TIMEOUT, () => {
        if (!this.#receiver.hasListener) this.#emitClose();
      });
    }
  }

  /** Ends the wait for the client: the session cannot be resumed any more. */
  #release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    if (this.#closeInfo) this.#setClosed(this.#closeInfo);
    this.#reconnectDeadline?.clear();
    this.#owner.heartbeat.stop(this, this.#heartbeatSlot);
    this.#sender.stream?.end();
    this.#owner.onSessionReleased(this);
  }

  /** @param minimum lower bound of the timeout, in milliseconds. */
  #waitForClient(minimum = 0): void {
    const pollTimeout = this.#isBetweenPolls
      ? MISSED_INTERVALS * idleInterval(this.options, true)
      : 0;
    const timeout = Math.max(this.options.reconnectTimeout, minimum, pollTimeout);
    const giveUp = () => {
      const reason = `the client did not reconnect within ${timeout} ms`;
      this.#setClosed(this.#closeInfo ?? { code: CloseCode.abnormal, reason });
      this.#release();
    };
    if (timeout === 0) return giveUp();
    this.#reconnectDeadline?.clear();
    this.#reconnectDeadline = new Deadline(timeout, giveUp);
  }

  #rejectIfClosed(): void {
    if (this.#isReleased) throw unknownSession();
    if (this.#readyState !== SseConnection.CLOSED || !this.#closeInfo) return;
    const { code, reason } = this.#closeInfo;
    throw new SseRequestError('session-closed', `the session is closed: ${code} ${reason}`, {
      body: { close: { code, reason } },
    });
  }

  #emitIfOpen(event: 'disconnect' | 'reconnect' | 'drain'): void {
    if (this.#readyState !== SseConnection.OPEN) return;
    if (event !== 'drain') diagnose(`sse-duplex:${event}`, this.#diagnosticContext);
    emit(this.connection, event);
  }

  #emitClose(): void {
    if (this.#isCloseEmitted || !this.#closeInfo || !this.#unacknowledged) return;
    this.#isCloseEmitted = true;
    this.#listenerDeadline?.clear();
    this.#receiver.clear();
    const { code, reason } = this.#closeInfo;
    const messages = this.#unacknowledged;
    diagnose('sse-duplex:close', {
      ...this.#diagnosticContext,
      code,
      reason,
      unacknowledged: messages.length,
    });
    emit(this.connection, 'close', code, reason, {
      get unacknowledged() {
        return messages.parse();
      },
    });
  }

  get #diagnosticContext() {
    return { path: this.#owner.path, connection: this.connection };
  }
}
