/** What an outbox holds: a message ready for the wire, and its size there. */
export interface Outgoing {
  readonly byteLength: number;
}

/**
 * Messages sent and not yet confirmed, numbered from 0 over the session, so that they can be written
 * again. Its owner bounds it: `byteLength` is there to be compared.
 */
export class SendBuffer<Item extends Outgoing> {
  /** Those not confirmed, in order. */
  readonly items: Item[] = [];
  /** Number of the first of them: how many are confirmed. */
  first = 0;
  /** Sum of what is held. */
  byteLength = 0;

  push(item: Item): void {
    this.byteLength += item.byteLength;
    this.items.push(item);
  }

  /** Lets go of all before `count`. Never moves backwards, and never past the last. */
  confirm(count: number): void {
    // One cut for all of them: an array's `shift` may cost as much for each.
    for (const { byteLength } of this.items.splice(0, count - this.first)) {
      this.byteLength -= byteLength;
      this.first++;
    }
  }
}
