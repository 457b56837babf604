/** What an outbox holds: a message ready for the wire, and its size there. */
export interface Outgoing {
  readonly byteLength: number;
}

/**
 * Messages sent and not yet confirmed, numbered from 0 over the session, so that they can be written
 * again. Its owner bounds it: `byteLength` is there to be compared.
 */
export class Outbox<Item extends Outgoing> {
  readonly #items: Item[] = [];
  #first = 0;
  #byteLength = 0;

  /** Number of the first message not confirmed: how many are. */
  get first(): number {
    return this.#first;
  }

  /** Number of the next message to be pushed: how many ever were. */
  get next(): number {
    return this.#first + this.#items.length;
  }

  /** Sum of what is held. */
  get byteLength(): number {
    return this.#byteLength;
  }

  push(item: Item): void {
    this.#byteLength += item.byteLength;
    this.#items.push(item);
  }

  /** @param number from `first` up to, without, `next`. */
  get(number: number): Item {
    return this.#items[number - this.#first] as Item;
  }

  /** Those from one number up to, without, another. */
  slice(from: number, to: number): Item[] {
    return this.#items.slice(from - this.#first, to - this.#first);
  }

  /** Lets go of all before `count`. Never moves backwards, and never past `next`. */
  confirm(count: number): void {
    // One cut for all of them: an array's `shift` costs as much.
    const confirmed = this.#items.splice(0, count - this.#first);
    for (const { byteLength } of confirmed) this.#byteLength -= byteLength;
    this.#first += confirmed.length;
  }
}
