const cleanups: (() => unknown)[] = [];

/** Registers a function that runs after the current test, in reverse order of registration. */
export function onTestFinished(cleanup: () => unknown): void {
  cleanups.push(cleanup);
}

afterEach(async () => {
  jest.useRealTimers();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
