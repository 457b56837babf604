import { DATA_PREFIX, EVENT_END, encodeMessageEvent } from '../protocol/event-stream';
import { isJson } from '../protocol/message';
import type { EncodedMessage } from '../protocol/message';
import { decodeMessage } from './message';

/** Target size of one write, in bytes. A batch that has reached it accepts no more messages. */
export const WRITE_SIZE = 64 * 1024;

/**
 * Consecutive messages, encoded as events. Their text is encoded as bytes once, when the batch is first
 * written (bench: stream); after that the batch accepts no more messages.
 */
export class Batch {
  /** The shared message that was appended last, or undefined in a batch of one session alone. */
  lastShared: PreparedMessage | undefined;
  /** Byte offsets: the first n events end at `#ends[n]`. */
  readonly #ends = [0];
  #text = '';
  #bytes: Buffer | undefined;

  /** Number of messages. */
  get length(): number {
    return this.#ends.length - 1;
  }

  /** Whether another message may be appended. */
  get isAppendable(): boolean {
    return this.#bytes === undefined && this.#end(this.length) < WRITE_SIZE;
  }

  /** Appends a message. Returns the size of its event in bytes. */
  push(message: EncodedMessage, size = eventSize(message)): number {
    this.#ends.push(this.#end(this.length) + size);
    this.#text += encodeMessageEvent(message);
    return size;
  }

  /** Returns the size in bytes of the messages from index `from` to before `to`. */
  size(from: number, to: number): number {
    return this.#end(to) - this.#end(from);
  }

  /** Encodes the batch, which from then on accepts no more messages. */
  seal(): Buffer {
    this.#bytes ??= Buffer.from(this.#text);
    this.#text = '';
    return this.#bytes;
  }

  /** Returns the events of the messages from index `from` to before `to`. Seals the batch. */
  read(from: number, to: number): Buffer {
    const bytes = this.seal();
    if (from === 0 && to === this.length) return bytes;
    return bytes.subarray(this.#end(from), this.#end(to));
  }

  /** Returns a copy of the first `count` messages that does not keep the others in memory. Seals both. */
  copyOfFirst(count: number): Batch {
    const batch = new Batch();
    batch.#ends.push(...this.#ends.slice(1, count + 1));
    batch.#bytes = Buffer.from(this.read(0, count));
    return batch;
  }

  /** Returns the messages, decoded from their events. */
  messages(): unknown[] {
    return Array.from({ length: this.length }, (_, i): unknown => {
      const event = this.read(i, i + 1).toString('utf8');
      return decodeMessage(event.slice(DATA_PREFIX.length, -EVENT_END.length));
    });
  }

  #end(count: number): number {
    return this.#ends[count] as number;
  }
}

/** Returns the size in bytes of the event of a message. */
export function eventSize(message: EncodedMessage): number {
  return DATA_PREFIX.length + Buffer.byteLength(message) + EVENT_END.length;
}

/**
 * One encoded message for many sessions. Sessions that were sent the same shared messages in the same
 * turn of the event loop share one batch: each of them only counts the message, and all of them write
 * the same bytes (bench: broadcast, ten per turn).
 */
export class PreparedMessage {
  /** Size of the event in bytes. */
  readonly size: number;
  /** Whether the message is JSON, which every client understands. */
  readonly isJson: boolean;
  readonly #message: EncodedMessage;
  #ownBatch: Batch | undefined;

  constructor(message: EncodedMessage) {
    this.#message = message;
    this.isJson = isJson(message);
    this.size = eventSize(message);
  }

  /** A batch that begins with this message, for sessions whose last batch cannot be extended. */
  get ownBatch(): Batch {
    if (!this.#ownBatch) {
      this.#ownBatch = new Batch();
      this.appendTo(this.#ownBatch);
    }
    return this.#ownBatch;
  }

  appendTo(batch: Batch): void {
    batch.lastShared = this;
    batch.push(this.#message, this.size);
  }
}
