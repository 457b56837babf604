/** What has a heart: called once an interval. Must not throw. */
export interface Beating {
  beat(): void;
}

/** Ticks an interval is divided into: 10,000 streams are then 200 a tick, not a stall. */
const SLOTS = 50;
/** A tick of a few milliseconds would cost more than it spreads. */
const SHORTEST_TICK = 20;

/** One timer for the heartbeats of all streams, spread over the interval. */
export class Heartbeat {
  readonly #slots: Set<Beating>[];
  readonly #tick: number;
  #size = 0;
  /** Where the next one is put: the slot that ticked last, a whole interval from its first beat. */
  #current = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(interval: number) {
    const count = Math.max(1, Math.min(SLOTS, Math.floor(interval / SHORTEST_TICK)));
    this.#slots = Array.from({ length: count }, () => new Set());
    this.#tick = interval / count;
  }

  /** Returns where it is kept, by which {@link stop} finds it. */
  start(beating: Beating): number {
    this.#slots[this.#current]?.add(beating);
    this.#size++;
    this.#timer ??= setInterval(() => this.#beat(), this.#tick).unref();
    return this.#current;
  }

  /** The second time without effect. */
  stop(beating: Beating, slot: number): void {
    if (!this.#slots[slot]?.delete(beating)) return;
    if (--this.#size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #beat(): void {
    this.#current = (this.#current + 1) % this.#slots.length;
    for (const beating of this.#slots[this.#current] as Set<Beating>) beating.beat();
  }
}
