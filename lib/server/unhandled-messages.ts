import type { EncodedMessage } from '../protocol/message';
import { sizeOf } from './message';

/** The messages of a client that were received, and that the application has not handled. */
export class UnhandledMessages {
  /** Number of the first message: all before it are handled. */
  #first: number;
  /** The messages from number `#first` on. */
  readonly #messages: EncodedMessage[];
  #bytes: number;
  /** Number of messages that were delivered to the application. */
  #delivered: number;
  /** Numbers of handled messages that follow a message that is not handled. */
  readonly #handledEarly = new Set<number>();
  /** Callbacks of {@link whenHandled}. */
  readonly #waiting: (() => void)[] = [];

  /** @param first number of the first message. */
  constructor(first: number, messages: readonly EncodedMessage[]) {
    this.#first = this.#delivered = first;
    this.#messages = [...messages];
    this.#bytes = sizeOf(messages);
  }

  /** Number of the first message: all before it are handled. */
  get first(): number {
    return this.#first;
  }

  /** The messages, oldest first. */
  get messages(): readonly EncodedMessage[] {
    return this.#messages;
  }

  /** Size of the messages in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Number of messages that were delivered to the application. */
  get delivered(): number {
    return this.#delivered;
  }

  push(message: EncodedMessage): void {
    this.#messages.push(message);
    this.#bytes += sizeOf([message]);
  }

  /** A message is about to be delivered to the application. */
  onDelivered(number: number): void {
    this.#delivered = number + 1;
  }

  /**
   * The application has handled a message. Returns whether the number of the first message has changed: it has not if an
   * earlier one is not handled.
   */
  onHandled(number: number): boolean {
    this.#handledEarly.add(number);
    let count = 0;
    while (this.#handledEarly.delete(this.#first + count)) count++;
    if (count === 0) return false;
    this.#first += count;
    this.#bytes -= sizeOf(this.#messages.splice(0, count));
    if (this.#first === this.#delivered) for (const resolve of this.#waiting.splice(0)) resolve();
    return true;
  }

  /** Resolves when the application has handled all messages that were delivered to it. */
  async whenHandled(): Promise<void> {
    if (this.#first < this.#delivered) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}
