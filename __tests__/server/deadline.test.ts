import { Deadline } from '../../lib/server/deadline';
import { useFakeTimeouts } from '../helpers/fake-timeouts';

/** Advances the timers as after a blocked event loop: they run this much late. */
function advanceLate(milliseconds: number, lateness: number): void {
  const { now } = performance;
  const spy = jest.spyOn(performance, 'now');
  spy.mockImplementation(() => now.call(performance) + lateness);
  jest.advanceTimersByTime(milliseconds);
  spy.mockRestore();
}

describe('Deadline', () => {
  function start(delay: number) {
    useFakeTimeouts('performance');
    const onExpired = jest.fn();
    return { deadline: new Deadline(delay, onExpired), onExpired };
  }

  it('expires once after the delay', () => {
    const { onExpired } = start(5_000);
    jest.advanceTimersByTime(4_999);
    expect(onExpired).not.toHaveBeenCalled();
    jest.advanceTimersByTime(1);
    expect(onExpired).toHaveBeenCalledTimes(1);
    jest.advanceTimersByTime(60_000);
    expect(onExpired).toHaveBeenCalledTimes(1);
  });

  it('does not expire after clear()', () => {
    const { deadline, onExpired } = start(5_000);
    deadline.clear();
    expect(jest.getTimerCount()).toBe(0);
    jest.advanceTimersByTime(60_000);
    expect(onExpired).not.toHaveBeenCalled();
  });

  it('expires without a grace period if its timer is less than 100 ms late', () => {
    const { onExpired } = start(5_000);
    advanceLate(5_000, 99);
    expect(onExpired).toHaveBeenCalledTimes(1);
  });

  it('expires 1 s later if its timer is 100 ms late', () => {
    const { onExpired } = start(5_000);
    advanceLate(5_000, 100);
    expect(onExpired).not.toHaveBeenCalled();
    jest.advanceTimersByTime(999);
    expect(onExpired).not.toHaveBeenCalled();
    jest.advanceTimersByTime(1);
    expect(onExpired).toHaveBeenCalledTimes(1);
  });

  it('does not expire after clear() in the grace period', () => {
    const { deadline, onExpired } = start(5_000);
    advanceLate(5_000, 1_000);
    deadline.clear();
    jest.advanceTimersByTime(60_000);
    expect(onExpired).not.toHaveBeenCalled();
  });

  it('does not keep the process alive', () => {
    const setTimer = jest.spyOn(global, 'setTimeout');
    const deadline = new Deadline(5_000, () => {});
    const timer = setTimer.mock.results[0]!.value as NodeJS.Timeout;
    setTimer.mockRestore();
    expect(timer.hasRef()).toBe(false);
    deadline.clear();
  });
});
