import { onTestFinished } from './on-test-finished';

/** The original function, even if a test replaces it twice. */
const { nextTick } = process;

/** Collects errors that are thrown in `process.nextTick` during the test, which would otherwise stop Jest. */
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
