/** The longest delay of a timer, in milliseconds. With a longer one, the timer would fire at once. */
export const MAX_DELAY = 2 ** 31 - 1;

/** Creates a wait that can be ended early, such as the one before the next attempt. */
export function createDelay() {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let endWait = () => {};
  /** When `endBackoff` may end the wait. */
  let earliest = 0;

  return {
    /** Resolves after both times, or when one of the other functions ends the wait. */
    wait: (backoff: number, retryAfter = 0) =>
      new Promise<void>((resolve) => {
        endWait = resolve;
        earliest = performance.now() + retryAfter;
        start(Math.max(backoff, retryAfter));
      }),

    /** Ends the wait, if there is one. */
    end: () => {
      earliest = 0;
      endBackoff();
    },

    endBackoff,
  };

  function start(milliseconds: number): void {
    timer = setTimeout(endWait, Math.min(milliseconds, MAX_DELAY));
  }

  /** Ends the wait as soon as `retryAfter` has passed. */
  function endBackoff(): void {
    clearTimeout(timer);
    const rest = earliest - performance.now();
    if (rest > 0) start(rest);
    else endWait();
  }
}
