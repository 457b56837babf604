import { AsyncResource } from 'node:async_hooks';
import { CloseCode } from '../protocol/close-code';
import { MISSED_INTERVALS } from '../protocol/wire';
import type { Close, Envelope, PostResponse } from '../protocol/wire';
import type { PreparedMessage } from './batch';
import type { PositionedBroadcast, RecordedMessages } from './cluster-engine';
import type { Dialect } from './dialect';
import type { EventStream, EventStreamOwner } from './event-stream';
import type { HeartbeatTarget } from './heartbeat';
import { Journal } from './journal';
import type { JournalOwner } from './journal';
import { encodeMessage } from './message';
import type { ResolvedOptions } from './options';
import { Receiver } from './receiver';
import type { ReceiverOwner } from './receiver';
import type { Rooms } from './rooms';
import { Sender, idleInterval } from './sender';
import type { SenderOwner } from './sender';
import { SessionEvents } from './session-events';
import { SessionLifecycle } from './session-lifecycle';
import type { LifecycleOwner } from './session-lifecycle';
import type { SessionInit, SessionOwner } from './session-owner';
import type { SessionToken } from './session-token';
import { SseConnection } from './sse-connection';
import type { ConnectionSession, FlowControl } from './sse-connection';

/** Shortest time in milliseconds that a client has to answer the close event. */
const CLOSE_TIMEOUT = 5_000;

/**
 * The session of one client: its state, its token, and the streams that carry it one after another.
 * {@link Sender} and {@link Receiver} do the rest, and in a cluster {@link Journal}.
 */
export class Session
  implements
    ConnectionSession,
    EventStreamOwner,
    HeartbeatTarget,
    SenderOwner,
    ReceiverOwner,
    JournalOwner,
    LifecycleOwner
{
  readonly id: string;
  readonly dialect: Dialect;
  readonly principal: string | undefined;
  readonly subprotocol: string;
  readonly connection: SseConnection;
  readonly lifecycle: SessionLifecycle;
  readonly sessionToken: SessionToken;
  readonly journal: Journal | undefined;
  /** Whether this node took the session over from another one. */
  readonly recovered: boolean;
  /** The asynchronous context of the request that opened the session, for the listeners of the connection. */
  readonly context = new AsyncResource('SseConnection');

  readonly #owner: SessionOwner;
  readonly #events: SessionEvents;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #heartbeatSlot: number;
  #wasAttached: boolean;
  /** The last poll has ended after its events, and the client is expected to send the next one. */
  #isBetweenPolls = false;
  /** Time of the client's last request, on the monotonic clock. */
  #lastActivityAt = performance.now();

  constructor(owner: SessionOwner, init: SessionInit) {
    this.#owner = owner;
    this.id = init.id;
    this.sessionToken = init.token;
    this.dialect = init.dialect;
    this.principal = init.principal;
    this.subprotocol = init.subprotocol ?? '';
    const { cluster } = init;
    this.journal = cluster && new Journal(this, cluster.node, cluster.start);
    this.recovered = cluster?.isRecovered ?? false;
    this.#wasAttached = (cluster?.start.epoch ?? 1) > 1;
    this.#sender = new Sender(this, cluster?.start.log);
    this.#receiver = new Receiver(this, init.firstNumber);
    this.connection = new SseConnection(this, init.request, this.journal?.state);
    this.#events = new SessionEvents(owner.path, this.connection);
    this.lifecycle = new SessionLifecycle(this, this.#sender, this.#receiver, this.#events);
    this.#heartbeatSlot = owner.heartbeat.start(this);
  }

  get options(): ResolvedOptions {
    return this.#owner.options;
  }

  get connected(): boolean {
    return this.#sender.stream !== undefined || this.#isBetweenPolls;
  }

  /** The code and reason of the end, while the session is closing or closed. */
  get closeInfo(): Close | undefined {
    return this.lifecycle.closeInfo;
  }

  get bufferedAmount(): number {
    return this.#sender.bufferedAmount;
  }

  get unacknowledgedAmount(): number {
    return this.#sender.unacknowledgedAmount;
  }

  get token(): string {
    return this.sessionToken.value;
  }

  /** Whether a request with this token, made by this principal, belongs to the session. */
  authenticates(token: string, principal: string | undefined): boolean {
    return this.sessionToken.matches(token) && principal === this.principal;
  }

  /** Number of messages that the client need not send again. */
  get #confirmed(): number {
    return this.journal?.received ?? this.#receiver.received;
  }

  // --- Streams -------------------------------------------------------------------------------------

  /** Whether a client that has received this many messages can be sent all the others. */
  canResume(received: number): boolean {
    // A closed session writes nothing but its close event.
    const oldest = this.lifecycle.isClosed ? 0 : this.#sender.oldest;
    return received >= oldest && received <= Math.min(this.#sender.sent, this.released);
  }

  /**
   * Makes `stream` the stream of the session instead of a previous one. Writes what the client lacks.
   *
   * @param received number of messages that the client has received; {@link canResume} must hold.
   * @param acceptsBinary whether the client accepts messages that are not JSON.
   * @returns whether the client has reconnected, and not just sent its next poll.
   */
  attach(stream: EventStream, received: number, acceptsBinary = false): boolean {
    const isContinued = this.#isBetweenPolls;
    const isReconnection = this.#wasAttached && !isContinued;
    this.#isBetweenPolls = false;
    this.#lastActivityAt = performance.now();
    this.lifecycle.onAttached();
    const previous = this.#sender.stream;
    const counts = { resumed: this.#wasAttached, sent: received, received: this.#confirmed };
    this.#sender.attach(stream, counts, acceptsBinary);
    this.#wasAttached = true;
    if (previous) {
      previous.destroy();
      this.lifecycle.emitIfOpen('disconnect');
    }
    if (isReconnection) this.lifecycle.emitIfOpen('reconnect');
    if (stream.isPoll && !isContinued) this.ping(); // answers at once: the client learns that it is connected
    return isReconnection;
  }

  onStreamDrained(stream: EventStream): void {
    if (stream === this.#sender.stream) this.#sender.flush();
  }

  onStreamClosed(stream: EventStream, isFinished: boolean): void {
    if (stream !== this.#sender.stream) return; // a previous stream
    this.#sender.detach();
    if (this.lifecycle.isReleased) return;
    const isCloseSent = this.#sender.isCloseWritten && isFinished;
    this.#isBetweenPolls = stream.isPoll && isFinished && !isCloseSent;
    if (!this.#isBetweenPolls) this.lifecycle.emitIfOpen('disconnect');
    if (isCloseSent && !this.dialect.acknowledges) this.lifecycle.release();
    else this.waitForClient(isCloseSent ? CLOSE_TIMEOUT : 0);
  }

  ping(): void {
    void this.journal?.tryReadRecorded();
    const { stream } = this.#sender;
    if (!stream) return;
    const silence = performance.now() - this.#lastActivityAt;
    const isSilent = silence > MISSED_INTERVALS * idleInterval(this.options, stream.isPoll);
    if (this.dialect.acknowledges && isSilent) {
      stream.destroy();
    } else if (stream.isWritable) {
      const counts = { sent: this.#sender.written, received: this.#confirmed };
      stream.write(Buffer.from(this.dialect.ping(counts)));
    }
  }

  // --- Messages ------------------------------------------------------------------------------------

  /** @returns whether more may be sent before `drain`; false if the session is not open. */
  send(message: unknown): boolean {
    const encoded = encodeMessage(message, this.#sender.acceptsBinary);
    if (!this.lifecycle.isOpen || !this.#sender.checkAccepted(encoded)) return false;
    this.inOrder((journal) => {
      if (this.lifecycle.isClosed) return;
      journal?.recordMessage(encoded);
      this.#sender.send(encoded);
    });
    return !this.#sender.needsDrain;
  }

  /**
   * Sends a message that other sessions are sent as well. Has no effect unless the session is open.
   *
   * @returns false if the session is to be closed for it: see {@link failBroadcast}.
   */
  sendPrepared(message: PreparedMessage): boolean {
    return !this.lifecycle.isOpen || this.#sender.sendPrepared(message);
  }

  /** In a cluster: records a broadcast before it takes effect. Returns false if it has no effect on this session. */
  recordBroadcast(broadcast: PositionedBroadcast): boolean {
    if (!this.lifecycle.isOpen || this.journal?.hasReceived(broadcast)) return false;
    this.journal?.recordBroadcast(broadcast);
    return true;
  }

  /** Runs a change of the session: in a cluster, after the broadcasts that this node has sent before. */
  inOrder(change: (journal: Journal | undefined) => void): void {
    const { journal } = this;
    if (journal) journal.inOrder(() => change(journal));
    else change(undefined);
  }

  /** Closes a session that does not accept the message (1003), or exceeds `maxBufferedAmount` with it (1008). */
  failBroadcast(message: PreparedMessage): void {
    this.#sender.failBroadcast(message);
  }

  /**
   * Handles the body of a duplex POST.
   *
   * @param size of the body in bytes.
   * @returns undefined if another node owns the session now.
   * @throws SseRequestError if the batch is not accepted.
   */
  async receiveBatch(envelope: Envelope, size: number): Promise<PostResponse | undefined> {
    const { id, ack, messages, close } = envelope;
    const { journal } = this;
    if (close && this.lifecycle.isClosed) {
      // The client answers the close event. The response tells it which messages were accepted.
      this.lifecycle.release();
      return { received: this.#receiver.received, closed: true };
    }
    this.lifecycle.rejectIfClosed();
    this.#lastActivityAt = performance.now();
    if (this.#isBetweenPolls) this.waitForClient();
    if (journal && (id > this.#receiver.received || ack > this.#sender.sent)) {
      await this.#verify(journal, id);
      if (this.lifecycle.isMoved) return undefined;
      this.lifecycle.rejectIfClosed();
    }
    this.#sender.acknowledge(ack);

    if (messages.length > 0) {
      if (!this.#receiver.hasCapacity) await this.#receiver.waitForCapacity();
      if (this.lifecycle.isMoved) return undefined;
      this.lifecycle.rejectIfClosed();
      const isInWindow = this.#receiver.receiveBatch(id, messages, size);
      if (journal && !(await journal.whenRecorded())) return undefined;
      // What the application replied is written before the POST's response, not a turn later.
      this.#sender.flushIfScheduled();
      if (!isInWindow) throw this.#receiver.outOfWindow(id);
    }
    if (close) {
      const areAllReceived = id + messages.length <= this.#receiver.received;
      if (!areAllReceived) throw this.#receiver.outOfWindow(id);
      this.lifecycle.terminate(close);
      return { received: this.#receiver.received, closed: true };
    }
    return { received: this.#confirmed };
  }

  /**
   * The client has confirmed messages before number `first`, or another node owns the session, which this one does not
   * know. If the engine does not know the messages either, it has lost them.
   */
  async #verify(journal: Journal, first: number): Promise<void> {
    await journal.readRecorded();
    if (first <= this.#receiver.received || this.lifecycle.isMoved) return;
    this.fail({ code: CloseCode.internalError, reason: 'acknowledged messages were lost' });
  }

  receiveRecorded({ first, messages, acknowledged, close }: RecordedMessages): void {
    if (this.lifecycle.isReleased) return;
    this.#lastActivityAt = performance.now();
    if (this.#isBetweenPolls) this.waitForClient();
    this.#sender.acknowledge(Math.min(acknowledged, this.#sender.written));
    if (this.journal && first > this.#receiver.received) {
      return void this.#verify(this.journal, first).catch(() => {}); // the next heartbeat tries again
    }
    if (messages.length > 0) {
      this.journal?.onReceivedElsewhere(first + messages.length);
      this.#receiver.receiveEncoded(first, messages);
    }
    if (close) this.lifecycle.terminate(close);
  }

  onRecorded(): void {
    this.#sender.flush();
  }

  onMoved(): void {
    this.journal?.stop();
    this.lifecycle.move();
  }

  /**
   * Handles the body of a POST of the Dart dialect.
   *
   * @param size of the body in bytes.
   * @throws SseRequestError if the message is not accepted.
   */
  receiveMessage(number: number | undefined, message: unknown, size: number): PostResponse {
    this.lifecycle.rejectIfClosed();
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
    if (this.lifecycle.isClosed) this.lifecycle.emitClose();
  }

  onDrain(): void {
    this.lifecycle.emitIfOpen('drain');
  }

  onAcknowledged(count: number): void {
    this.journal?.acknowledge(count);
  }

  /** Number of messages that may be written. */
  get released(): number {
    return this.journal?.released ?? Infinity;
  }

  onOverflow(direction: 'down' | 'up', bytes: number): void {
    this.#events.overflow(direction, bytes);
    const kind = direction === 'down' ? 'unacknowledged' : 'unread';
    const reason = `more than ${this.options.maxBufferedAmount} bytes ${kind} (option "maxBufferedAmount")`;
    this.fail({ code: CloseCode.policyViolation, reason });
  }

  onMissingMessage(number: number): void {
    const reason = `message ${number} did not arrive within ${this.options.reorderTimeout} ms (option "reorderTimeout")`;
    this.fail({ code: CloseCode.protocolError, reason });
  }

  // --- The end -------------------------------------------------------------------------------------

  /**
   * Closes a session that exceeded a limit. Messages that are not written yet are discarded; the client
   * receives the close event now or when it reconnects.
   */
  fail(close: Close): void {
    if (this.lifecycle.isClosed) return;
    this.lifecycle.setClosed(close);
    const { stream } = this.#sender;
    if (!stream) this.waitForClient();
    else if (stream.isWritable) this.#sender.flush();
    else stream.destroy(); // a client that does not read receives the close event when it reconnects
  }

  /** @param minimum lower bound of the timeout, in milliseconds. */
  waitForClient(minimum = 0): void {
    const interval = this.#isBetweenPolls ? idleInterval(this.options, true) : 0;
    const pollTimeout = MISSED_INTERVALS * interval;
    this.lifecycle.waitForClient(Math.max(minimum, pollTimeout));
  }

  /** Closes the stream. The client may reconnect. */
  disconnect(): void {
    this.#sender.stream?.destroy();
  }

  get rooms(): Rooms<SseConnection> {
    return this.#owner.rooms;
  }

  onClosed(): void {
    this.#owner.onSessionClosed(this);
  }

  onReleased(): void {
    this.#owner.heartbeat.stop(this, this.#heartbeatSlot);
    this.#owner.onSessionReleased(this);
  }

  onEnded(): void {
    this.#owner.onSessionEnded(this);
  }
}
