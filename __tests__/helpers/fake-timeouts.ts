/** A turn of the event loop: what was ready to happen has happened. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Fakes what this package's timeouts are made of, and nothing that sockets need. */
export function useFakeTimeouts(clock?: 'performance'): void {
  const real = ['nextTick', 'setImmediate', 'clearImmediate', 'queueMicrotask', 'hrtime'] as const;
  jest.useFakeTimers({ doNotFake: clock ? [...real] : [...real, 'performance'] });
}
