import { CloseCode } from '../protocol/close-code';
import { bytesOf, isJson } from '../protocol/message';
import type { EncodedMessage } from '../protocol/message';
import type { Close, Hello } from '../protocol/wire';
import { WRITE_SIZE, eventSize } from './batch';
import type { PreparedMessage } from './batch';
import type { Dialect } from './dialect';
import type { EventStream } from './event-stream';
import type { Journal } from './journal';
import { decodeMessage, encodeMessage } from './message';
import type { ResolvedOptions } from './options';
import { SseRequestError } from './request-error';
import { SendBuffer } from './send-buffer';
import type { Discarded } from './send-buffer';

/** Upper limits of `ackAfter` in messages and in bytes. */
const ACK_AFTER = { messages: 2048, bytes: 256 * 1024 };
/** `ackAfter.bytes` as a fraction of `maxBufferedAmount`: several acknowledgements are due before the limit. */
const ACK_FRACTION = 1 / 8;
/**
 * `ackAfter.idle`, in heartbeat intervals, on a stream and on a poll. A client that polls shows that it is alive by its
 * polls. If its application reads slowly, it sends none for a while, and must send a POST instead.
 */
const CLIENT_KEEPALIVE_INTERVALS = { stream: 4, poll: 1.5 };
/**
 * Unacknowledged bytes, as a fraction of `maxBufferedAmount`, above which `send()` returns false. The
 * rest is reserved for messages that are sent nevertheless.
 */
const DRAIN_FRACTION = 1 / 2;

/** What a sender needs of its session. */
export interface SenderOwner {
  readonly options: ResolvedOptions;
  readonly dialect: Dialect;
  readonly token: string;
  /** The subprotocol, or ''. */
  readonly subprotocol: string;
  /** Present when no more messages are sent: the close event is written after those that are queued. */
  readonly closeInfo: Close | undefined;
  /** In a cluster: records the messages. */
  readonly journal: Journal | undefined;
  /** Number of messages that may be written: all, or in a cluster those that the engine has recorded. */
  readonly released: number;
  /** The messages before number `count` will not be written again. */
  onAcknowledged(count: number): void;
  onOverflow(direction: 'down', bytes: number): void;
  readonly lifecycle: {
    /** Closes the session after everything that was sent. */
    close(close: Close): void;
    /** Closes the session after the messages that are queued. */
    closeAfterQueued(close: Close): void;
  };
  /** After `send` returned false: more may be sent. */
  onDrain(): void;
}

/** The sending half of a session: writes its messages to one stream after another. */
export class Sender {
  readonly #session: SenderOwner;
  #buffer: SendBuffer;
  /** Whether the client accepts messages that are not JSON. Undefined in a cluster until its first GET at this node. */
  #acceptsBinary: boolean | undefined;
  #stream: EventStream | undefined;
  /** In a cluster: messages that wait until the broadcasts that were sent before are delivered, in order. */
  readonly #postponed = new Set<{ message: EncodedMessage }>();
  #postponedBytes = 0;
  /** What is not sent any more because the client does not accept bytes: these, and the messages that followed them. */
  #rejected: unknown[] = [];
  #needDrain = false;
  #isFlushScheduled = false;
  #isCloseWritten = false;

  /** @param log in a cluster: what the client had not acknowledged at the previous node. */
  constructor(session: SenderOwner, log?: { sent: number; messages: EncodedMessage[] }) {
    this.#session = session;
    this.#acceptsBinary = log && session.dialect.acknowledges ? undefined : false;
    const messages = log?.messages ?? [];
    this.#buffer = new SendBuffer(log && log.sent - messages.length);
    for (const message of messages) this.#buffer.push(message);
  }

  /** Whether the client certainly accepts strings that are not JSON. */
  get acceptsText(): boolean {
    return this.#acceptsBinary === true;
  }

  /** The stream that is attached now. */
  get stream(): EventStream | undefined {
    return this.#stream;
  }

  /** Whether the close event was written to the stream that was attached last. */
  get isCloseWritten(): boolean {
    return this.#isCloseWritten;
  }

  /** Number of the oldest message that can still be written again. */
  get oldest(): number {
    return this.#buffer.acked;
  }

  /** Number of messages written so far. */
  get written(): number {
    return this.#buffer.next;
  }

  /** Number of messages sent so far, written or not. */
  get sent(): number {
    return this.#buffer.queued;
  }

  /** Bytes that no socket has accepted. */
  get bufferedAmount(): number {
    const { unwrittenBytes } = this.#buffer;
    return unwrittenBytes + this.#postponedBytes + (this.#stream?.writableLength ?? 0);
  }

  get unacknowledgedAmount(): number {
    const { byteLength, unwrittenBytes } = this.#buffer;
    const queued = this.#session.dialect.acknowledges ? byteLength : unwrittenBytes;
    return queued + this.#postponedBytes;
  }

  /**
   * Returns whether the client accepts a message. If not, its session is closed with code 1003.
   *
   * @throws TypeError if the message is not JSON and the client uses the Dart dialect.
   */
  checkAccepted(message: EncodedMessage): boolean {
    if (this.#acceptsEncoded(message)) return true;
    if (!this.#session.dialect.acknowledges) {
      throw new TypeError('cannot send: a client of the Dart dialect accepts only JSON');
    }
    this.#session.lifecycle.close(binaryNotAccepted());
    return false;
  }

  #acceptsEncoded(message: EncodedMessage): boolean {
    return this.#acceptsBinary !== false || isJson(message);
  }

  #accepts(message: PreparedMessage): boolean {
    return this.#acceptsBinary !== false || message.isJson;
  }

  /** The next message in the order of sending is not accepted, so that none can follow. */
  #failBinary(): void {
    this.#session.lifecycle.closeAfterQueued(binaryNotAccepted());
  }

  /**
   * Queues a message, in a cluster after the broadcasts that this node has sent before. Returns whether more may be sent
   * before `onDrain`.
   */
  send(message: EncodedMessage): boolean {
    const { journal } = this.#session;
    if (!journal || journal.isInOrder) this.#queue(message);
    else this.#postpone(message, journal);
    const hasFailed = this.failIfOverflowing();
    if (!hasFailed) this.scheduleFlush();
    if (hasFailed || !this.#isBelowLimits) this.#needDrain = true;
    return !this.#needDrain;
  }

  #queue(message: EncodedMessage): void {
    this.#session.journal?.recordMessage(message);
    this.#buffer.push(message);
  }

  #postpone(message: EncodedMessage, journal: Journal): void {
    const entry = { message };
    this.#postponed.add(entry);
    this.#postponedBytes += eventSize(message);
    journal.inOrder(() => {
      // After the close, the message remains unacknowledged.
      if (this.#session.closeInfo || !this.#postponed.has(entry)) return;
      const isAccepted = this.#acceptsEncoded(message);
      if (!isAccepted && bytesOf(decodeMessage(message))) return this.#failBinary();
      this.#postponed.delete(entry);
      this.#postponedBytes -= eventSize(message);
      // If not accepted, the client has come back on a stream that accepts only JSON.
      this.#queue(isAccepted ? message : encodeMessage(decodeMessage(message)));
      this.scheduleFlush();
    });
  }

  /** Queues a message that is sent to other sessions as well. Returns false if {@link failBroadcast} must be called. */
  sendPrepared(message: PreparedMessage): boolean {
    if (!this.#accepts(message)) return false;
    this.#buffer.pushPrepared(message);
    this.scheduleFlush();
    return !this.#isOverflowing;
  }

  failBroadcast(message: PreparedMessage): void {
    if (this.#accepts(message)) this.failIfOverflowing();
    else this.#failBinary();
  }

  get #isOverflowing(): boolean {
    return this.unacknowledgedAmount > this.#session.options.maxBufferedAmount;
  }

  /** Returns whether the session exceeds `maxBufferedAmount` and is therefore closed. */
  failIfOverflowing(): boolean {
    if (!this.#isOverflowing) return false;
    this.#session.onOverflow('down', this.unacknowledgedAmount);
    return true;
  }

  /** Whether both the bytes that no socket has accepted and the unacknowledged bytes are below their limits. */
  get #isBelowLimits(): boolean {
    return this.bufferedAmount < this.#session.options.highWaterMark && this.#isBelowDrainLimit;
  }

  get #isBelowDrainLimit(): boolean {
    const { maxBufferedAmount } = this.#session.options;
    return this.unacknowledgedAmount <= maxBufferedAmount * DRAIN_FRACTION;
  }

  /**
   * Continues on a stream: writes the handshake, then the messages that the client lacks, and then new messages.
   *
   * @param counts `sent` is the number of messages that the client has received.
   */
  attach(
    stream: EventStream,
    counts: Pick<Hello, 'resumed' | 'sent' | 'received'>,
    acceptsBinary = false,
  ): void {
    this.#stream = stream;
    const mayContainOtherForms = this.#acceptsBinary !== false;
    this.#acceptsBinary = acceptsBinary;
    this.#isCloseWritten = false;
    this.#removeBefore(counts.sent);
    if (mayContainOtherForms && !acceptsBinary) this.#encodeAsJson();
    this.#buffer.rewind();
    const { dialect, token, options, subprotocol } = this.#session;
    const handshake = dialect.handshake({
      token,
      ...counts,
      heartbeat: options.heartbeatInterval,
      ackAfter: ackThresholds(options, stream.isPoll),
      maxPayload: options.maxPayload,
      ...(acceptsBinary && { binary: true }),
      ...(subprotocol && { subprotocol }),
    });
    stream.write(Buffer.from(handshake));
    this.flush();
  }

  /** Encodes all messages as JSON, because only an earlier stream accepted other forms. Bytes close the session. */
  #encodeAsJson(): void {
    const { acked } = this.#buffer;
    const messages = this.#buffer.clear(acked).decode();
    const firstBinary = messages.findIndex((message) => bytesOf(message) !== undefined);
    // The close event follows the messages before the bytes.
    if (firstBinary !== -1) this.#rejected = messages.splice(firstBinary);
    this.#buffer = new SendBuffer(acked);
    for (const message of messages) this.#buffer.push(encodeMessage(message));
    if (firstBinary !== -1) this.#failBinary();
  }

  detach(): void {
    this.#stream = undefined;
  }

  /** @throws SseRequestError if the client acknowledges messages that were not sent. */
  acknowledge(count: number): void {
    const { queued } = this.#buffer;
    if (count > queued) {
      throw new SseRequestError(
        'bad-request',
        `"ack" is ${count}, but only ${queued} messages were sent`,
      );
    }
    this.#removeBefore(count);
    if (this.#needDrain) this.scheduleFlush();
  }

  /** Writes at the end of this turn of the event loop, so that a turn costs one write. */
  scheduleFlush(): void {
    if (this.#isFlushScheduled || !this.#stream) return;
    this.#isFlushScheduled = true;
    scheduled.push(this);
    if (scheduled.length === 1) setImmediate(flushScheduled);
  }

  /** Writes immediately what {@link scheduleFlush} has scheduled. */
  flushIfScheduled(): void {
    if (this.#isFlushScheduled) this.flush();
  }

  /** Called at the end of the turn after {@link scheduleFlush}. */
  onTurnEnd(): void {
    this.#isFlushScheduled = false;
    this.flush();
  }

  /** Writes as much as the stream accepts, and the close event after the last message. */
  flush(): void {
    const stream = this.#stream;
    if (!stream) return;
    const buffer = this.#buffer;
    const { dialect, token, closeInfo } = this.#session;
    const { messagePrefix } = dialect;
    const prefixOf = messagePrefix && ((number: number) => messagePrefix(token, number));
    const end = Math.min(buffer.queued, this.#session.released);
    while (stream.isWritable && buffer.next < end) {
      stream.write(buffer.read(WRITE_SIZE, prefixOf, end));
    }
    if (!dialect.acknowledges) this.#trimReplayBuffer();
    if (!stream.isWritable || end < buffer.queued) return;

    // Everything is written.
    if (closeInfo) {
      if (this.#isCloseWritten) return;
      this.#isCloseWritten = true;
      stream.write(Buffer.from(dialect.close(closeInfo)));
      stream.end();
    } else if (this.#needDrain && this.#postponed.size === 0 && this.#isBelowDrainLimit) {
      this.#needDrain = false;
      this.#session.onDrain();
    }
  }

  /** Dart dialect: removes the oldest written messages while they exceed `maxReplayBytes`. */
  #trimReplayBuffer(): void {
    const { maxReplayBytes } = this.#session.options;
    const buffer = this.#buffer;
    while (buffer.byteLength - buffer.unwrittenBytes > maxReplayBytes) {
      this.#removeBefore(buffer.acked + 1);
    }
  }

  /** Removes the messages before number `count` from the buffer. */
  #removeBefore(count: number): void {
    this.#buffer.acknowledge(count);
    this.#session.onAcknowledged(this.#buffer.acked);
  }

  /** Removes all messages. Returns those that are not acknowledged; in the Dart dialect those that are not written. */
  clear(): Discarded {
    const { acked, next } = this.#buffer;
    const queued = this.#buffer.clear(this.#session.dialect.acknowledges ? acked : next);
    const rejected = this.#rejected;
    this.#rejected = [];
    const postponed = [...this.#postponed];
    this.#postponed.clear();
    this.#postponedBytes = 0;
    return {
      length: queued.length + rejected.length + postponed.length,
      decode: () => [
        ...queued.decode(),
        ...rejected,
        ...postponed.map(({ message }) => decodeMessage(message)),
      ],
    };
  }
}

function binaryNotAccepted(): Close {
  const reason = 'the client does not accept binary messages';
  return { code: CloseCode.unsupportedData, reason };
}

/** Senders with something to write in this turn of the event loop. */
const scheduled: Sender[] = [];

function flushScheduled(): void {
  for (const sender of scheduled.splice(0)) sender.onTurnEnd();
}

/** Returns the thresholds after which a client must acknowledge. */
function ackThresholds(options: ResolvedOptions, isPoll: boolean): Hello['ackAfter'] {
  const { maxBufferedAmount } = options;
  return {
    messages: ACK_AFTER.messages,
    bytes: Math.max(1, Math.min(ACK_AFTER.bytes, Math.floor(maxBufferedAmount * ACK_FRACTION))),
    idle: idleInterval(options, isPoll),
  };
}

/** Returns the time in milliseconds without a POST after which a client must send one. */
export function idleInterval({ heartbeatInterval }: ResolvedOptions, isPoll: boolean): number {
  return CLIENT_KEEPALIVE_INTERVALS[isPoll ? 'poll' : 'stream'] * heartbeatInterval;
}
