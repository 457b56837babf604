/**
 * Waits, unless woken: then settles with true.
 *
 * @param onStart gets the function that ends the wait.
 */
export function sleep(milliseconds: number, onStart: (wake: () => void) => void): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds, false);
    onStart(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

/** How many milliseconds the server asks to wait, in seconds; 0 where it does not, or names a date. */
export function retryAfter({ headers }: Response): number {
  return Number(headers.get('Retry-After')) * 1000 || 0;
}
