/**
 * What became of an offered message:
 * - `taken`: it was next, and was delivered, with all that had waited for it;
 * - `held`: it waits for one before it;
 * - `duplicate`: it was taken, or is held, already;
 * - `outside`: it is too far ahead to be held, or before the order's start.
 */
export type InsertResult = 'taken' | 'held' | 'duplicate' | 'outside';

/** Whoever is given the messages in order. It must not throw, and must not offer. */
export interface OrderedReceiver<Message> {
  take(message: Message, size: number): void;
}

/** A message that waits for one before it, or a number that is to be skipped when its turn comes. */
interface Held<Message> {
  isSkipped: boolean;
  message: Message | undefined;
  size: number;
}

/** Takes numbered messages in any order, any number of times; delivers each once, in order. */
export class ReorderBuffer<Message> {
  readonly #receiver: OrderedReceiver<Message>;
  readonly #maxAhead: number;
  readonly #maxBytes: number;
  /** Not there before one has to wait: most clients are never out of order. */
  #held: Map<number, Held<Message>> | undefined;
  #heldBytes = 0;
  /** Undefined until the first number is known: see {@link settle}. */
  #next: number | undefined;
  #start = 0;

  /**
   * @param receiver is given each message before `offer`, `skip` or `settle` returns.
   * @param maxAhead how far past the next message one may be numbered.
   * @param maxBytes what those that wait may sum to.
   * @param start the first number, or `'lowest'` where the sender's count goes on from an unknown
   * place: the order then starts at 0 if that arrives, else at the lowest number held on `settle()`.
   */
  constructor(
    receiver: OrderedReceiver<Message>,
    maxAhead: number,
    maxBytes: number,
    start: number | 'lowest' = 0,
  ) {
    this.#receiver = receiver;
    this.#maxAhead = maxAhead;
    this.#maxBytes = maxBytes;
    if (start !== 'lowest') this.#next = this.#start = start;
  }

  /** The number awaited: how many are done with, where the order started at 0. */
  get next(): number {
    return this.#next ?? 0;
  }

  /** How many messages wait for one before them. */
  get held(): number {
    return this.#held?.size ?? 0;
  }

  /** Whether the first number is known. */
  get settled(): boolean {
    return this.#next !== undefined;
  }

  /** @param size in bytes, counted while the message is held. */
  offer(number: number, message: Message, size: number): InsertResult {
    return this.#accept(number, false, message, size);
  }

  /** Consumes a number whose message is not to be delivered. */
  skip(number: number): InsertResult {
    return this.#accept(number, true, undefined, 0);
  }

  /** Starts an order of unknown start at the lowest number held. Without effect on a settled one. */
  settle(): void {
    if (this.#next !== undefined || !this.#held?.size) return;
    this.#next = this.#start = [...this.#held.keys()].reduce((a, b) => Math.min(a, b));
    this.#release();
  }

  #accept(
    number: number,
    isSkipped: boolean,
    message: Message | undefined,
    size: number,
  ): InsertResult {
    if (this.#next === undefined && number === 0) this.#next = 0; // nothing is lower
    if (number < this.#start) return 'outside';
    if (this.#next !== undefined && number < this.#next) return 'duplicate';
    if (this.#held?.has(number)) return 'duplicate';
    if (number === this.#next) {
      this.#pass(isSkipped, message, size);
      this.#release();
      return 'taken';
    }
    if (!this.#fits(number, size)) return 'outside';
    this.#held ??= new Map();
    this.#held.set(number, { isSkipped, message, size });
    this.#heldBytes += size;
    return 'held';
  }

  #fits(number: number, size: number): boolean {
    const isNear =
      this.#next === undefined ? this.held < this.#maxAhead : number - this.#next <= this.#maxAhead;
    return isNear && this.#heldBytes + size <= this.#maxBytes;
  }

  #release(): void {
    if (!this.#held) return;
    for (let item; (item = this.#held.get(this.#next as number));) {
      this.#held.delete(this.#next as number);
      this.#heldBytes -= item.size;
      this.#pass(item.isSkipped, item.message, item.size);
    }
  }

  #pass(isSkipped: boolean, message: Message | undefined, size: number): void {
    this.#next = (this.#next as number) + 1;
    if (!isSkipped) this.#receiver.take(message as Message, size);
  }
}
