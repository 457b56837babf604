const cleanups: (() => unknown)[] = [];

/** Runs when the test is over, the last one first. */
export function onTestFinished(cleanup: () => unknown): void {
  cleanups.push(cleanup);
}

afterEach(async () => {
  jest.useRealTimers();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
