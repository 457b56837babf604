import { onTestFinished } from './on-test-finished';

/** Not another call's stand-in for it. */
const { nextTick } = process;

/** Collects, until the test is over, what is thrown in a tick of its own instead of letting it end Jest. */
export function catchUncaught(): unknown[] {
  const thrown: unknown[] = [];
  const spy = jest.spyOn(process, 'nextTick');
  spy.mockImplementation((tick, ...values) => {
    nextTick(() => {
      try {
        (tick as (...values: unknown[]) => void)(...(values as unknown[]));
      } catch (error) {
        thrown.push(error);
      }
    });
  });
  onTestFinished(() => spy.mockRestore());
  return thrown;
}
