import type { AsyncResource } from 'node:async_hooks';
import type { EventEmitter } from 'node:events';
import type { EncodedMessage } from '../protocol/message';
import { ReorderBuffer } from './reorder-buffer';
import type { OrderedReceiver } from './reorder-buffer';
import { emit, emitAndWait } from './emit';
import { GapTimer } from './gap-timer';
import { MAX_UNHANDLED } from './journal';
import type { Journal } from './journal';
import type { ResolvedOptions } from './options';
import { decodeMessage, sizeOf } from './message';
import { outOfWindow, receiveBufferFull } from './request-error';
import type { SseRequestError } from './request-error';
import type { FlowControl } from './sse-connection';

/** Number of messages in the receive buffer at which back-pressure is applied to the client of a duplex session. */
const MAX_BUFFERED_MESSAGES = 1_024;

/**
 * Largest number of messages in the receive buffer of a session of the Dart dialect, because a small message takes more
 * memory than its bytes. In a cluster the limit of the engine is reached first.
 */
export const MAX_UNREAD = MAX_UNHANDLED;

/** A message that is not delivered to the application yet. */
interface QueuedMessage {
  message: unknown;
  size: number;
  /** Whether a previous owner of the session may have delivered it already. */
  redelivered: boolean;
}

/** What a receiver needs of its session. */
export interface ReceiverOwner {
  readonly options: ResolvedOptions;
  /** Emits `message` to the application. */
  readonly connection: EventEmitter;
  /** The asynchronous context of the listeners. */
  readonly context: AsyncResource;
  /** In a cluster: records the messages, and which of them are handled. */
  readonly journal: Journal | undefined;
  /** All messages that have arrived in order have been delivered to the application. */
  onReceiveBufferEmpty(): void;
  onOverflow(direction: 'up', bytes: number): void;
  /** A message is missing, and did not arrive within `reorderTimeout`. */
  onMissingMessage(number: number): void;
}

/** The receiving half of a session: puts messages in order, and keeps them until the application reads them. */
export class Receiver implements OrderedReceiver, FlowControl {
  readonly #session: ReceiverOwner;
  readonly #firstNumber: number | 'unknown';
  /** Created with the first message, because many clients only receive (bench: idle). */
  #reorderBuffer: ReorderBuffer | undefined;
  readonly #receiveBuffer: QueuedMessage[] = [];
  #bufferedBytes = 0;
  /** Number of messages that were delivered to the application, and number of the next one. */
  #delivered = 0;
  #isPaused = false;
  /** Present while a POST waits for capacity: ends the wait. False says that there was no capacity in time. */
  #continueBlockedPost: ((mayContinue: boolean) => void) | undefined;
  /** Dart dialect: limits how long a message may be missing. Created with the first message. */
  #gapTimer: GapTimer | undefined;
  #isClosed = false;

  /** @param firstNumber see {@link ReorderBuffer}. */
  constructor(session: ReceiverOwner, firstNumber: 0 | 'unknown') {
    this.#session = session;
    const { journal } = session;
    // `||`, because the first number may be unknown until a message has been received.
    this.#firstNumber = journal?.recordedReceived || firstNumber;
    if (!journal) return;
    const { first, messages } = journal.unhandled;
    this.#delivered = first;
    for (const each of messages) this.#push(decodeMessage(each), sizeOf([each]), true);
  }

  /** Number of messages received in order, and number of the message that is expected next. */
  get received(): number {
    const first = this.#firstNumber === 'unknown' ? 0 : this.#firstNumber;
    return this.#reorderBuffer?.next ?? first;
  }

  /** Whether all messages that arrived in order are delivered to the application. */
  get isEmpty(): boolean {
    return this.#receiveBuffer.length === 0;
  }

  /** Whether the application listens for messages. Until it does, they are kept for it. */
  get hasListener(): boolean {
    return this.#session.connection.listenerCount('message') > 0;
  }

  get #isFlowing(): boolean {
    return !this.#isPaused && this.hasListener;
  }

  /** Whether another batch is accepted. */
  get hasCapacity(): boolean {
    const { highWaterMark } = this.#session.options;
    const isBelowLimits =
      this.#receiveBuffer.length < MAX_BUFFERED_MESSAGES && this.#bufferedBytes < highWaterMark;
    return isBelowLimits && this.#mayRecord;
  }

  /** In a cluster: whether the engine may record more messages. It keeps each until the application has handled it. */
  get #mayRecord(): boolean {
    const { journal, options } = this.#session;
    if (!journal) return true;
    const { messages, bytes } = journal.unhandled;
    return messages.length < MAX_UNHANDLED && bytes < options.maxBufferedAmount;
  }

  /**
   * Waits until there is capacity, or the session is closed, but for one heartbeat interval at most: the timeouts of
   * clients and proxies are longer. One POST waits at a time.
   *
   * @throws SseRequestError if there is no capacity in time, or if another POST waits already.
   */
  async waitForCapacity(): Promise<void> {
    if (!this.#continueBlockedPost && (await this.#blockPost())) return;
    throw receiveBufferFull();
  }

  /** Resolves with false after one heartbeat interval, or earlier with true. */
  #blockPost(): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (mayContinue: boolean) => {
        clearTimeout(timer);
        this.#continueBlockedPost = undefined;
        resolve(mayContinue);
      };
      const timer = setTimeout(end, this.#session.options.heartbeatInterval, false).unref();
      this.#continueBlockedPost = end;
    });
  }

  /**
   * Accepts the batch of a duplex POST.
   *
   * @param size of the batch in bytes.
   * @returns whether all messages are within the reorder window. Messages outside of it are not accepted.
   */
  receiveBatch(firstNumber: number, messages: unknown[], size: number): boolean {
    const averageSize = size / messages.length;
    const reorderBuffer = this.#openReorderBuffer();
    const results = messages.map((message, index) =>
      reorderBuffer.insert(firstNumber + index, message, averageSize),
    );
    const { journal } = this.#session;
    if (journal) journal.expectsRepetition = false; // the messages of this batch are marked already
    this.#deliverToApplication();
    return !results.includes('out-of-window');
  }

  /** Accepts messages that the engine has recorded, from whichever node. */
  receiveEncoded(firstNumber: number, messages: EncodedMessage[]): void {
    this.receiveBatch(firstNumber, messages.map(decodeMessage), sizeOf(messages));
  }

  /**
   * Accepts the message of a POST of the Dart dialect.
   *
   * @param number undefined if the client is older than 3.6 [dart]; the message is then delivered in order of arrival.
   * @param size in bytes.
   * @throws SseRequestError if the number is outside the reorder window.
   */
  receiveMessage(number: number | undefined, message: unknown, size: number): void {
    if (number === undefined) {
      this.deliver(message, size);
    } else if (this.#openReorderBuffer().insert(number, message, size) === 'out-of-window') {
      throw this.outOfWindow(number);
    }
    this.#deliverAndCheckLimits();
  }

  /** Dart dialect: consumes the number of a message that was rejected and is not sent again [dart]. */
  skip(number: number): void {
    if (this.#isClosed) return;
    this.#openReorderBuffer().skip(number);
    this.#deliverAndCheckLimits();
  }

  #openReorderBuffer(): ReorderBuffer {
    const { reorderWindow, maxBufferedAmount } = this.#session.options;
    return (this.#reorderBuffer ??= new ReorderBuffer(
      this,
      reorderWindow,
      maxBufferedAmount,
      this.#firstNumber,
    ));
  }

  /** Adds the next message to the receive buffer. The reorder buffer calls this in the order of the numbers. */
  deliver(message: unknown, size: number): void {
    const { journal } = this.#session;
    journal?.recordReceived(message);
    this.#push(message, size, journal?.expectsRepetition ?? false);
  }

  #push(message: unknown, size: number, redelivered: boolean): void {
    this.#receiveBuffer.push({ message, size, redelivered });
    this.#bufferedBytes += size;
  }

  outOfWindow(number: number): SseRequestError {
    return outOfWindow(number, this.received);
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.start();
  }

  /** Delivers the messages that have arrived in order, unless the connection is paused. */
  start(): void {
    // In a microtask, because the caller has not added its `message` listener yet.
    queueMicrotask(() => this.#deliverToApplication());
  }

  /** Accepts no more messages. Those that arrived in order before are still delivered to the application. */
  close(): void {
    this.#isClosed = true;
    this.#gapTimer?.stop();
    this.#continueBlockedPost?.(true); // the session rejects the POST, because it is closed
  }

  /** Discards the messages that are not delivered to the application. */
  clear(): void {
    this.#receiveBuffer.length = 0;
  }

  #deliverToApplication(): void {
    // One `splice` for all messages, because a `shift` for each may cost as much as the `splice`.
    let count = 0;
    for (let next; this.#isFlowing && (next = this.#receiveBuffer[count]); count++) {
      this.#bufferedBytes -= next.size;
      this.#emitMessage(next);
    }
    this.#receiveBuffer.splice(0, count);
    this.#continueBlockedPostIfPossible();
    if (this.isEmpty) this.#session.onReceiveBufferEmpty();
  }

  /** Lets the POST that waits for capacity continue, if there is capacity now. */
  #continueBlockedPostIfPossible(): void {
    if (this.#continueBlockedPost && this.hasCapacity) this.#continueBlockedPost(true);
  }

  /** Delivers a message. In a cluster it is handled when its listeners have returned and their promises are settled. */
  #emitMessage({ message, redelivered }: QueuedMessage): void {
    const { connection, context, journal } = this.#session;
    const number = this.#delivered++;
    const details = { number, redelivered };
    if (!journal) return emit(connection, 'message', message, details);
    journal.unhandled.onDelivered(number);
    const recordHandled = () =>
      journal.inOrder(() => {
        journal.recordHandled(number);
        this.#continueBlockedPostIfPossible();
      });
    const settled = emitAndWait(context, connection, 'message', message, details);
    if (settled) void settled.then(recordHandled);
    else recordHandled();
  }

  /** Dart dialect: delivers messages, and limits how much waits and how long a message may be missing. */
  #deliverAndCheckLimits(): void {
    this.#deliverToApplication();
    if (this.checkLimit()) this.#watchGap();
  }

  /**
   * Dart dialect: closes the session if the application reads too slowly, because back-pressure cannot be applied to
   * the client. Returns whether the limit is kept.
   */
  checkLimit(): boolean {
    const isExceeded =
      this.#receiveBuffer.length > MAX_UNREAD ||
      this.#bufferedBytes > this.#session.options.maxBufferedAmount;
    if (isExceeded) this.#session.onOverflow('up', this.#bufferedBytes);
    return !isExceeded;
  }

  /** Limits how long the next message may be missing while later ones wait for it. */
  #watchGap(): void {
    const reorderBuffer = this.#reorderBuffer;
    if (this.#isClosed || !reorderBuffer) return;
    this.#gapTimer ??= new GapTimer({
      reorderTimeout: this.#session.options.reorderTimeout,
      onFirstNumberDue: () => {
        reorderBuffer.start();
        this.#deliverAndCheckLimits();
      },
      onMissing: (number) => this.#session.onMissingMessage(number),
    });
    const { hasStarted, next, size } = reorderBuffer;
    this.#gapTimer.watch(hasStarted ? next : undefined, size);
  }
}
