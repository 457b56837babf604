import type { EncodedMessage } from '../protocol/message';
import { Batch } from './batch';
import type { PreparedMessage } from './batch';

/** The messages that were removed from a send buffer when its session ended. */
export interface Discarded {
  readonly length: number;
  /** Decodes the messages, oldest first. */
  decode(): unknown[];
}

/**
 * The messages of one session, numbered from 0 and kept until they are acknowledged, so that they can
 * be written again on another stream. Its owner limits its size.
 */
export class SendBuffer {
  /** Number of the oldest message that is kept: all before it are acknowledged. */
  acked: number;
  /** Number of the next message to be written. */
  next: number;
  /** Number of messages that were queued so far. */
  queued: number;
  /** Size in bytes of all messages that are kept. */
  byteLength = 0;
  /** Size in bytes of the messages that are not written yet. */
  unwrittenBytes = 0;

  readonly #batches: Batch[] = [];
  /** Messages of this session in the last batch, which may hold later messages of other sessions. */
  #ownInLast = 0;
  /** Acknowledged messages in the first batch. */
  #ackedInFirst = 0;
  /** The batch of the next message to be written, and how many messages precede it there. */
  #nextBatch = 0;
  #nextIndex = 0;

  /** @param first number of the first message. */
  constructor(first = 0) {
    this.acked = this.next = this.queued = first;
  }

  /** Queues a message. */
  push(message: EncodedMessage): void {
    let batch = this.#batches.at(-1);
    if (!batch?.isAppendable || batch.lastShared) {
      batch = new Batch();
      this.#append(batch);
    }
    this.#count(batch.push(message));
  }

  /** Queues a message that other sessions are sent as well. */
  pushPrepared(message: PreparedMessage): void {
    const batch = this.#batches.at(-1);
    if (batch?.isAppendable && batch.lastShared) {
      if (batch.length === this.#ownInLast) message.appendTo(batch);
      // The batch ends with this message, appended above or by another session that shares it.
      if (batch.lastShared === message && batch.length === this.#ownInLast + 1) {
        this.#count(message.size);
        return;
      }
    }
    this.#append(message.ownBatch);
    this.#count(message.size);
  }

  /**
   * Releases the messages before number `count`. Has no effect on messages that are released already,
   * and stops at the last message.
   */
  acknowledge(count: number): void {
    this.#leaveSharedBatch();
    let released = 0;
    for (const batch of this.#batches) {
      if (this.acked >= count) break;
      const to = Math.min(batch.length, this.#ackedInFirst + count - this.acked);
      this.byteLength -= batch.size(this.#ackedInFirst, to);
      this.acked += to - this.#ackedInFirst;
      this.#ackedInFirst = to;
      if (to < batch.length) break;
      this.#ackedInFirst = 0;
      released++;
    }
    // One `splice` for all batches, because a `shift` for each may cost as much as the `splice`.
    this.#batches.splice(0, released);
    this.#nextBatch -= released;
    if (this.next < this.acked) this.rewind();
  }

  /** Starts over: the oldest message that is kept is the next one to be written. */
  rewind(): void {
    this.next = this.acked;
    this.unwrittenBytes = this.byteLength;
    this.#nextBatch = 0;
    this.#nextIndex = this.#ackedInFirst;
  }

  /**
   * Returns the next messages to be written, at least `bytes` bytes if there are so many. Takes whole batches where
   * there is neither a prefix nor an end.
   *
   * @param prefixOf returns what is written before the event of a message.
   * @param end number of the first message that is not to be written yet.
   */
  read(bytes: number, prefixOf?: (number: number) => string, end = this.queued): Buffer {
    this.#leaveSharedBatch();
    const parts: Buffer[] = [];
    for (let length = 0; length < bytes && this.next < end;) {
      const batch = this.#batches[this.#nextBatch] as Batch;
      const from = this.#nextIndex;
      const to = prefixOf ? from + 1 : Math.min(batch.length, from + end - this.next);
      if (prefixOf) parts.push(Buffer.from(prefixOf(this.next)));
      parts.push(batch.read(from, to));

      const size = batch.size(from, to);
      length += size;
      this.unwrittenBytes -= size;
      this.next += to - from;
      this.#nextIndex = to < batch.length ? to : 0;
      if (to === batch.length) this.#nextBatch++;
    }
    const [first] = parts;
    return first && parts.length === 1 ? first : Buffer.concat(parts);
  }

  /** Releases all messages. Returns those that were kept from number `from` on. */
  clear(from: number): Discarded {
    this.#leaveSharedBatch();
    const length = this.queued - from;
    const batches = [...this.#batches];
    this.acknowledge(this.queued);
    return {
      length,
      decode() {
        const messages = batches.flatMap((batch) => batch.messages());
        return messages.slice(messages.length - length);
      },
    };
  }

  #append(batch: Batch): void {
    this.#leaveSharedBatch();
    this.#batches.at(-1)?.seal(); // other sessions that share it continue in another batch as well
    this.#batches.push(batch);
    this.#ownInLast = 0;
  }

  /** Counts a message that was appended to the last batch. */
  #count(size: number): void {
    this.#ownInLast++;
    this.queued++;
    this.byteLength += size;
    this.unwrittenBytes += size;
  }

  /** Copies the last batch if other sessions have extended it. */
  #leaveSharedBatch(): void {
    const batch = this.#batches.at(-1);
    if (batch && batch.length > this.#ownInLast) {
      this.#batches[this.#batches.length - 1] = batch.copyOfFirst(this.#ownInLast);
    }
  }
}
