/** Lateness in milliseconds from which a timer is considered delayed by a blocked event loop. */
const MAX_LATENESS = 100;
/** Time in milliseconds to handle what arrived while the event loop was blocked. */
const GRACE_PERIOD = 1_000;

/**
 * A timeout for something that a peer must do. After the event loop was blocked, timers run before the
 * sockets are read, so that what the peer sent in time would count as missing. A late deadline therefore
 * expires only after a grace period. It does not keep the process alive.
 */
export class Deadline {
  #timer: NodeJS.Timeout;

  /** @param delay in milliseconds. */
  constructor(delay: number, onExpired: () => void) {
    const due = performance.now() + delay;
    this.#timer = setTimeout(() => {
      if (performance.now() - due < MAX_LATENESS) onExpired();
      else this.#timer = setTimeout(onExpired, GRACE_PERIOD).unref();
    }, delay).unref();
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}
