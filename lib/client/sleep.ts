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
