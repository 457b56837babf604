/**
 * The result of inserting a message:
 * - `delivered`: it was the next one, and was delivered together with those that waited for it;
 * - `buffered`: it waits for a message before it;
 * - `duplicate`: it has been delivered or buffered before;
 * - `out-of-window`: it is too far ahead to be buffered, or before the first number.
 */
export type InsertResult = 'delivered' | 'buffered' | 'duplicate' | 'out-of-window';

/** Receives the messages in order. `deliver` must neither throw nor insert a message. */
export interface OrderedReceiver<Message> {
  deliver(message: Message, size: number): void;
}

/** A message with its size in bytes, or undefined for a number that is skipped. */
type Entry<Message> = { message: Message; size: number } | undefined;

/**
 * Accepts numbered messages in any order and any number of times, and delivers each once, in order.
 * What it buffers is limited in number and in bytes.
 */
export class ReorderBuffer<Message> {
  readonly #receiver: OrderedReceiver<Message>;
  readonly #window: number;
  readonly #maxBytes: number;
  /** Created when the first message arrives out of order, which happens to few clients. */
  #entries: Map<number, Entry<Message>> | undefined;
  #bufferedBytes = 0;
  /** Undefined until the first number is known: see {@link start}. */
  #next: number | undefined;
  #first = 0;

  /**
   * @param receiver receives each message before `insert`, `skip` or `start` returns.
   * @param window largest distance between the next expected number and that of a buffered message.
   * @param maxBytes largest sum of the sizes of all buffered messages.
   * @param first the first number, or `'unknown'` if the sender continues a numbering that this side
   * does not know: the sequence then starts at 0 if that number arrives, else at the lowest number
   * that is buffered when {@link start} is called.
   */
  constructor(
    receiver: OrderedReceiver<Message>,
    window: number,
    maxBytes: number,
    first: number | 'unknown' = 0,
  ) {
    this.#receiver = receiver;
    this.#window = window;
    this.#maxBytes = maxBytes;
    if (first !== 'unknown') this.#next = this.#first = first;
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
  insert(number: number, message: Message, size: number): InsertResult {
    return this.#insert(number, { message, size });
  }

  /** Consumes a number whose message is not to be delivered. */
  skip(number: number): InsertResult {
    return this.#insert(number, undefined);
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

  #insert(number: number, entry: Entry<Message>): InsertResult {
    if (this.#next === undefined && number === 0) this.#next = 0; // no number is lower
    if (number < this.#first) return 'out-of-window';
    if (this.#next !== undefined && number < this.#next) return 'duplicate';
    if (this.#entries?.has(number)) return 'duplicate';
    if (number === this.#next) {
      this.#deliver(number, entry);
      this.#deliverBuffered();
      return 'delivered';
    }
    const size = entry?.size ?? 0;
    if (!this.#fits(number, size)) return 'out-of-window';
    this.#entries ??= new Map();
    this.#entries.set(number, entry);
    this.#bufferedBytes += size;
    return 'buffered';
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
      this.#bufferedBytes -= entry?.size ?? 0;
      this.#deliver(number, entry);
    }
  }

  #deliver(number: number, entry: Entry<Message>): void {
    this.#next = number + 1;
    if (entry) this.#receiver.deliver(entry.message, entry.size);
  }
}
