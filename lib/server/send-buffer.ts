import { Batch } from './batch';
import type { PreparedMessage } from './batch';

/**
 * What a session sends: messages numbered from 0, kept until they are confirmed, read in order, and
 * again by a stream that comes after. Its owner bounds it.
 */
export class SendBuffer {
  /** Messages confirmed: the number of the first that is kept. */
  first = 0;
  /** Messages read: the number of the next to be. */
  read = 0;
  /** Messages, ever. */
  sent = 0;
  /** Bytes kept. */
  byteLength = 0;
  /** Bytes of those not read. */
  unreadBytes = 0;

  /** What is kept, in order. */
  readonly #batches: Batch[] = [];
  /** How many messages of the last batch are this session's: those with whom it shares it may go on. */
  #lastCount = 0;
  /** Messages of the first batch that are confirmed. */
  #skipped = 0;
  /** Where the next message to be read is: in which batch, after how many of it. */
  #at = 0;
  #offset = 0;

  /** Sends a message, given as JSON, to this session alone. */
  push(json: string): void {
    let batch = this.#batches.at(-1);
    if (!batch?.isOpen || batch.lastShared) this.#append((batch = new Batch()));
    this.#count(batch.push(json));
  }

  /** Sends one that others are sent, too. */
  share(broadcast: PreparedMessage): void {
    const batch = this.#batches.at(-1);
    if (batch?.isOpen && batch.lastShared) {
      if (batch.length === this.#lastCount) broadcast.addTo(batch);
      // Added just now, or by another session that had the same.
      if (batch.lastShared === broadcast && batch.length === this.#lastCount + 1) {
        return this.#count(broadcast.size);
      }
    }
    this.#append(broadcast.batch);
    this.#count(broadcast.size);
  }

  /** Lets go of all before `count`. Never moves backwards, and never past the last. */
  confirm(count: number): void {
    this.#completeLast();
    let done = 0;
    while (this.first < count && this.first < this.sent) {
      const batch = this.#batches[done] as Batch;
      const to = Math.min(batch.length, this.#skipped + count - this.first);
      this.byteLength -= batch.size(this.#skipped, to);
      this.first += to - this.#skipped;
      this.#skipped = to;
      if (to < batch.length) break;
      this.#skipped = 0;
      done++;
    }
    // One cut for all of them: an array's `shift` may cost as much for each.
    this.#batches.splice(0, done);
    this.#at -= done;
    if (this.read < this.first) this.rewind();
  }

  /** The next to be read is the first that is kept. */
  rewind(): void {
    this.read = this.first;
    this.unreadBytes = this.byteLength;
    this.#at = 0;
    this.#offset = this.#skipped;
  }

  /**
   * Reads on: whole batches, until there are so many bytes.
   *
   * @param prefix what goes before the message of a number.
   */
  take(bytes: number, prefix?: (number: number) => string): Buffer {
    this.#completeLast();
    const parts: Buffer[] = [];
    for (let length = 0; length < bytes && this.read < this.sent;) {
      const batch = this.#batches[this.#at] as Batch;
      const from = this.#offset;
      const to = prefix ? from + 1 : batch.length;
      if (prefix) parts.push(Buffer.from(prefix(this.read)));
      parts.push(batch.read(from, to));

      const size = batch.size(from, to);
      length += size;
      this.unreadBytes -= size;
      this.read += to - from;
      this.#offset = to < batch.length ? to : 0;
      if (to === batch.length) this.#at++;
    }
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  }

  /** Lets go of everything. Returns what was kept from a number on: how many, and what decodes them. */
  clear(from: number): { length: number; decode: () => unknown[] } {
    this.#completeLast();
    const length = this.sent - from;
    const batches = [...this.#batches];
    this.confirm(this.sent);
    const decode = () => {
      const all = batches.flatMap((batch) => batch.messages());
      return all.slice(all.length - length);
    };
    return { length, decode };
  }

  #append(batch: Batch): void {
    this.#completeLast();
    this.#batches.at(-1)?.complete(); // whoever shares it goes on in another, too
    this.#batches.push(batch);
    this.#lastCount = 0;
  }

  /** The last batch has one more message of this session, of so many bytes. */
  #count(size: number): void {
    this.#lastCount++;
    this.sent++;
    this.byteLength += size;
    this.unreadBytes += size;
  }

  /** Leaves the last batch to the others where they were sent more of it. */
  #completeLast(): void {
    const last = this.#batches.length - 1;
    const batch = this.#batches[last];
    if (batch && batch.length > this.#lastCount) this.#batches[last] = batch.head(this.#lastCount);
  }
}
