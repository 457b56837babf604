import { Deadline } from './deadline';

/**
 * Time in milliseconds that a client of the Dart dialect, whose first message number is unknown, has to send a lower
 * number than those that arrived.
 */
const FIRST_NUMBER_TIMEOUT = 1_000;

/** What a gap timer needs. */
export interface GapTimerOwner {
  /** Longest time in milliseconds that a message may be missing. */
  readonly reorderTimeout: number;
  /** No lower number has arrived in time: the lowest one is the first. */
  onFirstNumberDue(): void;
  /** The message with this number has not arrived in time, although later ones have. */
  onMissing(number: number): void;
}

/** Dart dialect, whose clients do not send a lost message again: limits how long the server waits for a number. */
export class GapTimer {
  readonly #owner: GapTimerOwner;
  #deadline: Deadline | undefined;
  #awaited: number | undefined;

  constructor(owner: GapTimerOwner) {
    this.#owner = owner;
  }

  /**
   * Starts, restarts or stops the timer.
   *
   * @param next number of the next message, or undefined while the first number is unknown.
   * @param waiting number of messages that arrived before it.
   */
  watch(next: number | undefined, waiting: number): void {
    if (waiting === 0) return this.stop();
    if (this.#deadline && next === this.#awaited) return;
    this.stop();
    this.#awaited = next;
    const timeout = next === undefined ? FIRST_NUMBER_TIMEOUT : this.#owner.reorderTimeout;
    this.#deadline = new Deadline(timeout, () => {
      this.#deadline = undefined;
      if (next === undefined) this.#owner.onFirstNumberDue();
      else this.#owner.onMissing(next);
    });
  }

  stop(): void {
    this.#deadline?.clear();
    this.#deadline = undefined;
  }
}
