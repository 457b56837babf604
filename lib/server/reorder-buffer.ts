import type { EncodedMessage } from '../protocol/message';
import { decodeMessage, encodeMessage } from './message';

/**
 * The result of inserting a message:
 * - `delivered`: it was the next one, and was delivered together with those that waited for it;
 * - `buffered`: it waits for a message before it;
 * - `duplicate`: it has been delivered or buffered before;
 * - `out-of-window`: it is too far ahead to be buffered, or before the first number.
 */
export type InsertResult = 'delivered' | 'buffered' | 'duplicate' | 'out-of-window';

/** Receives the messages in order. `deliver` must neither throw nor insert a message. */
export interface OrderedReceiver {
  deliver(message: unknown, size: number): void;
}

/**
 * A buffered message with its size in bytes, or undefined for a number that is skipped. The message is
 * kept encoded, because a parsed value may take many times the memory of its text.
 */
type Entry = { encoded: EncodedMessage; size: number } | undefined;

/**
 * Accepts numbered messages in any order and any number of times, and delivers each once, in order.
 * What it buffers is limited in number and in bytes.
 */
export class ReorderBuffer {
  readonly #receiver: OrderedReceiver;
  readonly #window: number;
  readonly #maxBytes: number;
  /** Created when the first message arrives out of order, which happens to few clients. */
  #entries: Map<number, Entry> | undefined;
  #bufferedBytes = 0;
  /** Undefined until the first number is known: see {@link start}. */
  #next: number | undefined;
  /** Lowest number of the sequence. */
  #first = 0;

  /**
   * @param receiver receives each message before `insert`, `skip` or `start` returns.
   * @param window largest distance between the next expected number and that of a buffered message.
   * @param maxBytes largest sum of the sizes of all buffered messages.
   * @param first the next expected number, or `'unknown'` if the sender continues a numbering that this side
   * does not know: the sequence then starts at 0 if that number arrives, else at the lowest number
   * that is buffered when {@link start} is called.
   */
  constructor(
    receiver: OrderedReceiver,
    window: number,
    maxBytes: number,
    first: number | 'unknown' = 0,
  ) {
    this.#receiver = receiver;
    this.#window = window;
    this.#maxBytes = maxBytes;
    if (first !== 'unknown') this.#next = first;
  }

  /** The next expected number. If the sequence began at 0, it is also the count of messages so far. */
  get next(): number {
    return this.#next ?? 0;
  }

  /** The number of buffered messages. */
  get size(): number {
    return this.#entries?.size ?? 0;
  }

  /** Whether the first number is known. */
  get hasStarted(): boolean {
    return this.#next !== undefined;
  }

  /** @param size in bytes; counted while the message is buffered. */
  insert(number: number, message: unknown, size: number): InsertResult {
    const result = this.#classify(number, size);
    if (result === 'delivered') {
      this.#next = number + 1;
      this.#receiver.deliver(message, size);
      this.#deliverBuffered();
    } else if (result === 'buffered') {
      this.#buffer(number, { encoded: encodeMessage(message), size });
    }
    return result;
  }

  /** Consumes a number whose message is not to be delivered. */
  skip(number: number): InsertResult {
    const result = this.#classify(number, 0);
    if (result === 'delivered') {
      this.#next = number + 1;
      this.#deliverBuffered();
    } else if (result === 'buffered') {
      this.#buffer(number, undefined);
    }
    return result;
  }

  /**
   * Starts a sequence whose first number is unknown at the lowest buffered number. Has no effect if
   * the sequence has started or nothing is buffered.
   */
  start(): void {
    if (this.hasStarted || !this.#entries?.size) return;
    this.#next = this.#first = [...this.#entries.keys()].reduce((a, b) => Math.min(a, b));
    this.#deliverBuffered();
  }

  #classify(number: number, size: number): InsertResult {
    if (this.#next === undefined && number === 0) this.#next = 0; // there is no lower number
    if (number < this.#first) return 'out-of-window';
    if (this.#next !== undefined && number < this.#next) return 'duplicate';
    if (this.#entries?.has(number)) return 'duplicate';
    if (number === this.#next) return 'delivered';
    return this.#fits(number, size) ? 'buffered' : 'out-of-window';
  }

  #buffer(number: number, entry: Entry): void {
    this.#entries ??= new Map();
    this.#entries.set(number, entry);
    this.#bufferedBytes += entry?.size ?? 0;
  }

  #fits(number: number, size: number): boolean {
    const isWithinWindow =
      this.#next === undefined ? this.size < this.#window : number - this.#next <= this.#window;
    return isWithinWindow && this.#bufferedBytes + size <= this.#maxBytes;
  }

  /** Delivers the buffered messages that are next. */
  #deliverBuffered(): void {
    const entries = this.#entries;
    if (!entries) return;
    for (let number = this.next; entries.has(number); number++) {
      const entry = entries.get(number);
      entries.delete(number);
      this.#next = number + 1;
      if (!entry) continue;
      this.#bufferedBytes -= entry.size;
      this.#receiver.deliver(decodeMessage(entry.encoded), entry.size);
    }
  }
}
