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
import { MAX_UNREAD, Receiver } from './receiver';
import type { ReceiverOwner } from './receiver';
import { RecordedInput } from './recorded-input';
import type { RecordedInputOwner } from './recorded-input';
import type { Rooms } from './rooms';
import { Sender, idleInterval } from './sender';
import type { SenderOwner } from './sender';
import { SessionEvents } from './session-events';
import { CLOSE_TIMEOUT, SessionLifecycle } from './session-lifecycle';
import type { LifecycleOwner } from './session-lifecycle';
import type { SessionInit, SessionOwner } from './session-owner';
import type { SessionToken } from './session-token';
import { SseConnection } from './sse-connection';
import type { ConnectionSession, FlowControl } from './sse-connection';

/**
 * The session of one client: its state, its token, and the streams that carry it one after another.
 * {@link Sender} sends messages, {@link Receiver} receives them, and in a cluster {@link Journal} records them.
 */
export class Session
  implements
    ConnectionSession,
    EventStreamOwner,
    HeartbeatTarget,
    SenderOwner,
    ReceiverOwner,
    JournalOwner,
    RecordedInputOwner,
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
  readonly recordedInput: RecordedInput | undefined;
  /** Whether this node has taken over a session for which another node has recorded something. */
  readonly recovered: boolean;
  /** The asynchronous context of the request that opened the session, for the listeners of the connection. */
  readonly context = new AsyncResource('SseConnection');

  readonly #owner: SessionOwner;
  readonly #events: SessionEvents;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #heartbeatSlot: number;
  /** Whether the client has had a stream before, here or at another node. */
  #wasAttached: boolean;
  /** Whether the last poll has ended after its events, and the client is expected to send the next one. */
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
    this.#wasAttached = cluster?.isResumed ?? false;
    this.#sender = new Sender(this, cluster?.start.log);
    this.#receiver = new Receiver(this, init.firstNumber);
    this.connection = new SseConnection(this, init.request, this.journal?.state);
    this.#events = new SessionEvents(owner.path, this.connection);
    this.lifecycle = new SessionLifecycle(this, this.#sender, this.#receiver, this.#events);
    this.recordedInput =
      this.journal &&
      new RecordedInput(this, this.journal, this.#sender, this.#receiver, cluster?.start.numbering);
    this.#heartbeatSlot = owner.heartbeat.start(this);
  }

  get options(): ResolvedOptions {
    return this.#owner.options;
  }

  get connected(): boolean {
    return this.#sender.stream !== undefined || this.#isBetweenPolls;
  }

  get closeInfo(): Close | undefined {
    return this.lifecycle.dueClose;
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

  /** Number of the client's messages that may be acknowledged. In a cluster, the engine has recorded all of these. */
  get #acknowledgeable(): number {
    return this.journal?.recordedReceived ?? this.#receiver.received;
  }

  // --- Streams -------------------------------------------------------------------------------------

  /** Whether a client that has received this many messages can be sent all the others. */
  canResume(received: number): boolean {
    const oldest = this.lifecycle.isClosed ? 0 : this.#sender.oldest; // if closed, only the close event is sent
    return received >= oldest && received <= this.#sender.sent;
  }

  /**
   * Attaches a stream, which replaces a previous one, and writes the messages that the client lacks.
   *
   * @param received number of messages that the client has received; {@link canResume} must hold.
   * @param acceptsBinary whether the client accepts messages that are not JSON.
   * @returns whether the client has reconnected. False for its first stream, and for its next poll.
   */
  attach(stream: EventStream, received: number, acceptsBinary: boolean): boolean {
    const isNextPoll = this.#isBetweenPolls;
    const isReconnection = this.#wasAttached && !isNextPoll;
    this.#isBetweenPolls = false;
    this.#lastActivityAt = performance.now();
    this.lifecycle.onAttached();
    const previous = this.#sender.stream;
    const counts = { resumed: this.#wasAttached, sent: received, received: this.#acknowledgeable };
    this.#sender.attach(stream, counts, acceptsBinary);
    this.#wasAttached = true;
    if (previous) {
      previous.destroy(); // `onStreamClosed` ignores a stream that has been replaced
      this.lifecycle.emitIfOpen('disconnect');
    }
    if (isReconnection) this.lifecycle.emitIfOpen('reconnect');
    if (stream.isPoll && !isNextPoll) this.ping(); // ends the poll, so that the client learns that it is connected
    return isReconnection;
  }

  onStreamDrained(): void {
    this.#sender.flush(); // does no harm if it was a previous stream
  }

  onStreamClosed(stream: EventStream, isFinished: boolean): void {
    if (stream !== this.#sender.stream) return; // a previous stream
    this.#sender.detach();
    if (this.lifecycle.isReleased) return;
    const isCloseSent = this.#sender.isCloseWritten && isFinished;
    this.#isBetweenPolls = stream.isPoll && isFinished && !isCloseSent;
    if (!this.#isBetweenPolls) this.lifecycle.emitIfOpen('disconnect');
    // A client of the Dart dialect does not answer the close event.
    if (isCloseSent && !this.dialect.acknowledges) this.lifecycle.release();
    else this.waitForClient(isCloseSent ? CLOSE_TIMEOUT : 0);
  }

  /** Writes a ping, or closes the stream of a silent client. In a cluster, reads what the engine has recorded. */
  ping(): void {
    void this.journal?.tryReadRecorded(Infinity); // a notification may have been lost
    const { stream } = this.#sender;
    if (!stream) return;
    const silence = performance.now() - this.#lastActivityAt;
    const isSilent = silence > MISSED_INTERVALS * idleInterval(this.options, stream.isPoll);
    if (this.dialect.acknowledges && isSilent) {
      stream.destroy();
    } else if (stream.isWritable) {
      const counts = { sent: this.#sender.written, received: this.#acknowledgeable };
      stream.write(Buffer.from(this.dialect.ping(counts)));
    }
  }

  // --- Messages ------------------------------------------------------------------------------------

  /** @returns whether more may be sent before `drain`; false if the session is not open. */
  send(message: unknown): boolean {
    const encoded = encodeMessage(message, this.#sender.acceptsText);
    if (!this.lifecycle.isOpen || !this.#sender.checkAccepted(encoded)) return false;
    return this.#sender.send(encoded);
  }

  /**
   * Sends a message that is sent to other sessions as well. Has no effect if the session sends nothing any more.
   *
   * @returns false if {@link failBroadcast} must be called, which closes the session.
   */
  sendPrepared(message: PreparedMessage): boolean {
    return !this.lifecycle.isSending || this.#sender.sendPrepared(message);
  }

  /** In a cluster: records a broadcast before it is sent. Returns false if it must not be sent to this session. */
  recordBroadcast(broadcast: PositionedBroadcast): boolean {
    return this.lifecycle.isSending && this.journal?.recordBroadcast(broadcast) === true;
  }

  /** Runs a change of the session. In a cluster, waits until all broadcasts that this node has sent are delivered. */
  inOrder(change: (journal: Journal | undefined) => void): void {
    const { journal } = this;
    if (journal) journal.inOrder(() => change(journal));
    else change(undefined);
  }

  /** Closes the session: its client does not accept the message (1003), or `maxBufferedAmount` is exceeded (1008). */
  failBroadcast(message: PreparedMessage): void {
    this.#sender.failBroadcast(message);
  }

  /**
   * Handles the body of a duplex POST.
   *
   * @param size of the body in bytes.
   * @returns undefined if the engine must record the batch with `ClusterEngine.take`: the client closes the session, or
   * this node is not the owner any more.
   * @throws SseRequestError if the batch is not accepted.
   */
  async receiveBatch(envelope: Envelope, size: number): Promise<PostResponse | undefined> {
    const { id, ack, messages, close } = envelope;
    const { journal } = this;
    if (close && this.lifecycle.isClosed) {
      // The client answers the close event. The response tells it which messages were accepted.
      this.lifecycle.release();
      return { received: this.#acknowledgeable, closed: true };
    }
    this.lifecycle.rejectIfClosed();
    if (close && journal) return undefined; // the engine records the close first, so that no owner can lose it
    this.onActivity();
    // Before it rejects the POST, this node asks the engine: another node may have recorded messages, or be the owner.
    if (this.recordedInput && (id > this.#receiver.received || ack > this.#sender.sent)) {
      await this.recordedInput.verify(id);
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
      // Only in a single process: in a cluster, the engine records a closing POST.
      const areAllReceived = id + messages.length <= this.#receiver.received;
      if (!areAllReceived) throw this.#receiver.outOfWindow(id);
      this.lifecycle.terminate(close);
      return { received: this.#receiver.received, closed: true };
    }
    return { received: this.#acknowledgeable };
  }

  receiveRecorded(recorded: RecordedMessages): void {
    this.recordedInput?.receive(recorded);
  }

  /** The client has sent a request. */
  onActivity(): void {
    this.#lastActivityAt = performance.now();
    if (this.#isBetweenPolls) this.waitForClient();
  }

  onRecorded(): void {
    this.#sender.flush();
  }

  /** Another node owns the session. @param keepsStream whether {@link endMovedStream} ends the stream. */
  onMoved(keepsStream = false): void {
    this.journal?.stop();
    this.lifecycle.move();
    if (!keepsStream) this.endMovedStream();
  }

  endMovedStream(): void {
    if (this.lifecycle.isMoved) this.disconnect();
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

  /** Dart dialect: consumes the number of a message that was rejected and is not sent again [dart]. */
  skip(number: number): void {
    this.#receiver.skip(number);
  }

  get flow(): FlowControl {
    return this.#receiver;
  }

  onReceiveBufferEmpty(): void {
    this.lifecycle.emitClose();
  }

  onDrain(): void {
    this.lifecycle.emitIfOpen('drain');
  }

  onAcknowledged(count: number): void {
    this.journal?.acknowledge(count);
  }

  get released(): number {
    return this.journal?.released ?? Infinity;
  }

  onOverflow(direction: 'down' | 'up', bytes: number): void {
    this.#events.overflow(direction, bytes);
    const kind = direction === 'down' ? 'unacknowledged' : `or ${MAX_UNREAD} messages unread`;
    const reason = `more than ${this.options.maxBufferedAmount} bytes ${kind} (option "maxBufferedAmount")`;
    this.fail({ code: CloseCode.policyViolation, reason });
  }

  onMissingMessage(number: number): void {
    const { reorderTimeout } = this.options;
    const reason = `message ${number} did not arrive within ${reorderTimeout} ms (option "reorderTimeout")`;
    this.fail({ code: CloseCode.protocolError, reason });
  }

  // --- Closing -------------------------------------------------------------------------------------

  /**
   * Closes a session that cannot continue. Messages that are not written yet are discarded; the client receives the
   * close event now or when it reconnects.
   */
  fail(close: Close): void {
    if (this.lifecycle.isClosed) return;
    this.lifecycle.setClosed(close);
    const { stream } = this.#sender;
    if (!stream) this.waitForClient();
    else if (stream.isWritable) this.#sender.flush();
    else stream.destroy(); // a client that does not read receives the close event when it reconnects
  }

  /** Waits for the next stream or poll of the client. @param minimum lower bound of the timeout, in milliseconds. */
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
    this.recordedInput?.close();
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
