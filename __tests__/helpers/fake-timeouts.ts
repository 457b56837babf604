/** Waits for one turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Fakes the timers that this package uses, but none that sockets need. */
export function useFakeTimeouts(clock?: 'performance'): void {
  const real = ['nextTick', 'setImmediate', 'clearImmediate', 'queueMicrotask', 'hrtime'] as const;
  jest.useFakeTimers({ doNotFake: clock ? [...real] : [...real, 'performance'] });
}
