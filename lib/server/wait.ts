/** Delay in milliseconds before a failed call is repeated: the first and the longest one. */
export const RETRY_DELAY = { first: 50, max: 1_000 };

/** Returns the delay before a call is repeated that has failed again after this delay. */
export function nextDelay(delay: number): number {
  return Math.min(2 * delay, RETRY_DELAY.max);
}

/** Resolves after a number of milliseconds. Does not keep the process alive. */
export function wait(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds).unref());
}

/** Resolves in the next turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * Resolves or rejects as `promise` does, or after a number of milliseconds as `onTimeout` does. Does not keep the
 * process alive.
 */
export function waitAtMost<Result>(
  milliseconds: number,
  promise: Promise<Result>,
  onTimeout: () => Result,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const expire = () => resolve(Promise.resolve().then(onTimeout));
    const timer = setTimeout(expire, milliseconds).unref();
    const stop = () => clearTimeout(timer);
    promise.then(stop, stop);
    promise.then(resolve, reject);
  });
}
