/** A session that is pinged once per interval. `ping` must not throw. */
export interface HeartbeatTarget {
  ping(): void;
}

/** Slots of the timer wheel: with 10,000 targets each tick pings 200 instead of all at once. */
const SLOTS = 50;
/** Shortest tick in milliseconds. A shorter one would cost more than it gains by spreading the pings. */
const MIN_TICK = 20;

/** Pings any number of targets with one timer: a timer wheel whose round is the interval. */
export class Heartbeat {
  readonly #wheel: Set<HeartbeatTarget>[];
  readonly #tick: number;
  #size = 0;
  /** The slot that was pinged last. A new target is added to it, so that its first ping is an interval away. */
  #cursor = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param interval in milliseconds. */
  constructor(interval: number) {
    const slots = Math.max(1, Math.min(SLOTS, Math.floor(interval / MIN_TICK)));
    this.#wheel = Array.from({ length: slots }, () => new Set());
    this.#tick = interval / slots;
  }

  /** Adds a target. Returns its slot, which {@link stop} needs. */
  start(target: HeartbeatTarget): number {
    this.#wheel[this.#cursor]?.add(target);
    this.#size++;
    this.#timer ??= setInterval(() => this.#pingNextSlot(), this.#tick).unref();
    return this.#cursor;
  }

  /** Removes a target. Has no effect on one that was removed before. */
  stop(target: HeartbeatTarget, slot: number): void {
    if (!this.#wheel[slot]?.delete(target)) return;
    if (--this.#size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #pingNextSlot(): void {
    this.#cursor = (this.#cursor + 1) % this.#wheel.length;
    this.#wheel[this.#cursor]?.forEach((target) => target.ping());
  }
}
