/**
 * Waits, unless woken.
 *
 * @param onStart gets the function that ends the wait.
 */
export function sleep(milliseconds: number, onStart: (wake: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    onStart(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** How many milliseconds the server asks to wait, in seconds; 0 where it does not, or names a date. */
export function retryAfter({ headers }: Response): number {
  return Number(headers.get('Retry-After')) * 1000 || 0;
}
