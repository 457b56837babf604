/** The longest delay of a timer, in milliseconds. With a longer one, the timer would fire at once. */
export const MAX_DELAY = 2 ** 31 - 1;

/** Creates a wait that can be ended early, such as the one before the next attempt. */
export function createDelay() {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let endWait = () => {};

  return {
    /** Resolves after the time, or when `end` is called. */
    wait: (milliseconds: number) =>
      new Promise<void>((resolve) => {
        endWait = resolve;
        timer = setTimeout(resolve, Math.min(milliseconds, MAX_DELAY));
      }),

    /** Ends the wait, if there is one. */
    end: () => {
      clearTimeout(timer);
      endWait();
    },
  };
}
