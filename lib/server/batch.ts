import { DATA_PREFIX, EVENT_END, encodeJsonEvent } from '../protocol/event-stream';

/**
 * Bytes of one write: what a turn sends goes out in one `write(2)`, not one a message. A batch of so
 * many takes no more.
 */
export const WRITE_SIZE = 64 * 1024;

/**
 * Messages that were sent one after the other, framed. Encoded when they are first written, all at once
 * (bench: stream), and complete from then on.
 */
export class Batch {
  /** Whose message is the last; undefined in a session's own batch. */
  lastShared: PreparedMessage | undefined;
  /** In bytes, where so many messages end. */
  readonly #ends = [0];
  #text = '';
  #bytes: Buffer | undefined;

  get length(): number {
    return this.#ends.length - 1;
  }

  /** Whether it takes another message. */
  get isOpen(): boolean {
    return this.#bytes === undefined && this.#end(this.length) < WRITE_SIZE;
  }

  /** Returns how many bytes it is, framed. */
  push(json: string, size = frameSize(json)): number {
    this.#ends.push(this.#end(this.length) + size);
    this.#text += encodeJsonEvent(json);
    return size;
  }

  /** Bytes of some of the messages. */
  size(from: number, to: number): number {
    return this.#end(to) - this.#end(from);
  }

  /** Takes no more messages. */
  complete(): Buffer {
    this.#bytes ??= Buffer.from(this.#text);
    this.#text = '';
    return this.#bytes;
  }

  /** The frames of some of the messages. Completes it. */
  read(from: number, to: number): Buffer {
    const bytes = this.complete();
    if (from === 0 && to === this.length) return bytes;
    return bytes.subarray(this.#end(from), this.#end(to));
  }

  /** A batch of the first messages alone, which holds nothing of the rest. Completes both. */
  head(count: number): Batch {
    const batch = new Batch();
    batch.#ends.push(...this.#ends.slice(1, count + 1));
    batch.#bytes = Buffer.from(this.read(0, count));
    return batch;
  }

  /** The messages, as they were sent. */
  messages(): unknown[] {
    return Array.from({ length: this.length }, (_, i) => {
      const json = this.read(i, i + 1).toString('utf8', DATA_PREFIX.length); // and its frame's end
      return JSON.parse(json) as unknown;
    });
  }

  #end(count: number): number {
    return this.#ends[count] as number;
  }
}

function frameSize(json: string): number {
  return DATA_PREFIX.length + Buffer.byteLength(json) + EVENT_END.length;
}

/**
 * One message on its way to many sessions. Those that were sent the same before it in this turn of the
 * event loop share one batch, so that it costs each of them a count, and is one write of the same bytes
 * (bench: broadcast, ten a turn).
 */
export class PreparedMessage {
  /** Bytes, framed. */
  readonly size: number;
  readonly #json: string;
  #batch: Batch | undefined;

  constructor(json: string) {
    this.#json = json;
    this.size = frameSize(json);
  }

  /** Begins with it: for sessions that have no batch it could be added to. */
  get batch(): Batch {
    if (!this.#batch) this.addTo((this.#batch = new Batch()));
    return this.#batch;
  }

  addTo(batch: Batch): void {
    batch.lastShared = this;
    batch.push(this.#json, this.size);
  }
}
