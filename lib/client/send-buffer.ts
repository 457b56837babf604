import { decodeOutgoing } from './message';
import type { OutgoingMessage } from './message';
import { DEFAULT_MAX_BUFFERED_AMOUNT } from './options';

/** Size of the field `binary` of a POST with one message, in bytes. */
const BINARY_FIELD_SIZE = ',"binary":[0]'.length;

/** The messages that were sent and not yet acknowledged, numbered from 0 over the whole session. */
export class SendBuffer {
  readonly #messages: OutgoingMessage[] = [];
  readonly #maxByteLength: number;
  /** Number of the first message in the buffer, which is the number of acknowledged messages. */
  first = 0;
  /** Sum of the sizes of the messages in the buffer, in bytes. */
  byteLength = 0;

  /** @param maxByteLength limits {@link byteLength}. */
  constructor(maxByteLength = DEFAULT_MAX_BUFFERED_AMOUNT) {
    this.#maxByteLength = maxByteLength;
  }

  /** Number of messages in the buffer. */
  get length(): number {
    return this.#messages.length;
  }

  /** Whether the first message can be sent. A Blob must be read first. */
  get isReady(): boolean {
    return this.#messages[0]?.json !== undefined;
  }

  /** Whether one of the messages is binary. */
  get hasBinary(): boolean {
    return this.#messages.some(({ isBinary }) => isBinary);
  }

  /**
   * Adds a message.
   *
   * @throws RangeError if a batch of it alone exceeds `maxPayload` bytes, or if the buffer is full.
   */
  push(message: OutgoingMessage, maxPayload = Infinity): void {
    const { byteLength, isBinary } = message;
    const size = byteLength + (isBinary ? BINARY_FIELD_SIZE : 0);
    if (size > maxPayload) {
      throw new RangeError(
        `cannot send: ${size} bytes exceed the server's maxPayload, ${maxPayload}`,
      );
    }
    if (this.byteLength + byteLength > this.#maxByteLength) {
      throw new RangeError(
        `cannot send: ${this.byteLength} bytes are unacknowledged, wait for "drain" (option "maxBufferedAmount")`,
      );
    }
    this.#messages.push(message);
    this.byteLength += byteLength;
  }

  /** Removes the messages with numbers below `count`. Returns false if fewer messages were sent. */
  acknowledge(count: number): boolean {
    if (count > this.first + this.length) return false;
    // One `splice` for all: `shift` may take linear time for each. It removes none if its second argument is negative.
    for (const { byteLength } of this.#messages.splice(0, count - this.first)) {
      this.byteLength -= byteLength;
      this.first++;
    }
    return true;
  }

  /**
   * Returns the first messages that are ready, as many as fit into `maxBytes` with a comma between two of
   * them and the field `binary`. The first one is included even if it does not fit: the server then accepts or
   * rejects it.
   */
  batch(maxBytes: number): OutgoingMessage[] {
    const batch: OutgoingMessage[] = [];
    let size = -1; // one comma less than messages
    let fieldSize = BINARY_FIELD_SIZE - 1; // without an index
    for (const message of this.#messages) {
      size += message.byteLength + 1;
      if (message.isBinary) {
        size += fieldSize + String(batch.length).length;
        fieldSize = 1; // a comma
      }
      if (message.json === undefined || (size > maxBytes && batch.length)) break;
      batch.push(message);
    }
    return batch;
  }

  /** Removes all messages. Returns them decoded, oldest first. */
  clear(): unknown[] {
    this.byteLength = 0;
    return this.#messages.splice(0).map(decodeOutgoing);
  }
}
