/**
 * What became of an offered message:
 * - `taken`: it was next, and was delivered, with all that had waited for it;
 * - `held`: it waits for one before it;
 * - `duplicate`: it was taken, or is held, already;
 * - `outside`: it is too far ahead to be held, or before the order's start.
 */
export type Offer = 'taken' | 'held' | 'duplicate' | 'outside';

/** Bounds on messages that wait for one before them. */
export interface OrderBounds {
  /** How far past the next message one may be numbered. */
  messages: number;
  /** What those held may sum to, in bytes. */
  bytes: number;
}

interface Held<Message> {
  deliver: boolean;
  message: Message | undefined;
  size: number;
}

/** Takes numbered messages in any order, any number of times; delivers each once, in order. */
export class MessageOrder<Message> {
  readonly #deliver: (message: Message, size: number) => void;
  readonly #bounds: OrderBounds;
  readonly #held = new Map<number, Held<Message>>();
  #heldBytes = 0;
  /** Undefined until the first number is known: see {@link settle}. */
  #next: number | undefined;
  #start = 0;

  /**
   * @param deliver is called in order, before `offer`, `skip` or `settle` returns. It must not throw
   * and must not offer.
   * @param start the first number, or `'lowest'` where the sender's count goes on from an unknown
   * place: the order then starts at 0 if that arrives, else at the lowest number held on `settle()`.
   */
  constructor(
    deliver: (message: Message, size: number) => void,
    bounds: OrderBounds,
    start: number | 'lowest' = 0,
  ) {
    this.#deliver = deliver;
    this.#bounds = bounds;
    if (start !== 'lowest') this.#next = this.#start = start;
  }

  /** The number awaited: how many are done with, where the order started at 0. */
  get next(): number {
    return this.#next ?? 0;
  }

  /** How many messages wait for one before them. */
  get held(): number {
    return this.#held.size;
  }

  /** Whether the first number is known. */
  get settled(): boolean {
    return this.#next !== undefined;
  }

  /** @param size in bytes, counted while the message is held. */
  offer(number: number, message: Message, size: number): Offer {
    return this.#accept(number, { deliver: true, message, size });
  }

  /** Consumes a number whose message is not to be delivered. */
  skip(number: number): Offer {
    return this.#accept(number, { deliver: false, message: undefined, size: 0 });
  }

  /** Starts an order of unknown start at the lowest number held. Without effect on a settled one. */
  settle(): void {
    if (this.#next !== undefined || this.#held.size === 0) return;
    this.#next = this.#start = [...this.#held.keys()].reduce((a, b) => Math.min(a, b));
    this.#release();
  }

  #accept(number: number, item: Held<Message>): Offer {
    if (this.#next === undefined && number === 0) this.#next = 0; // nothing is lower
    if (number < this.#start) return 'outside';
    if (this.#next !== undefined && number < this.#next) return 'duplicate';
    if (this.#held.has(number)) return 'duplicate';
    if (number === this.#next) {
      this.#pass(item);
      this.#release();
      return 'taken';
    }
    if (!this.#fits(number, item.size)) return 'outside';
    this.#held.set(number, item);
    this.#heldBytes += item.size;
    return 'held';
  }

  #fits(number: number, size: number): boolean {
    const { messages, bytes } = this.#bounds;
    const isNear =
      this.#next === undefined ? this.#held.size < messages : number - this.#next <= messages;
    return isNear && this.#heldBytes + size <= bytes;
  }

  #release(): void {
    for (let item; (item = this.#held.get(this.#next as number));) {
      this.#held.delete(this.#next as number);
      this.#heldBytes -= item.size;
      this.#pass(item);
    }
  }

  #pass({ deliver, message, size }: Held<Message>): void {
    this.#next = (this.#next as number) + 1;
    if (deliver) this.#deliver(message as Message, size);
  }
}
