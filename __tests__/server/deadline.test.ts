import { Deadline } from '../../lib/server/deadline';

describe('Deadline', () => {
  let now = 0;

  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['performance'] });
    now = 0;
    jest.spyOn(performance, 'now').mockImplementation(() => now);
  });
  afterEach(() => {
    jest.restoreAllMocks();
    jest.useRealTimers();
  });

  /** Advances the clock and the timers; `blocked` is how long the event loop runs no timer after that. */
  function advance(milliseconds: number, blocked = 0): void {
    now += milliseconds + blocked;
    jest.advanceTimersByTime(milliseconds);
  }

  it('expires after its delay', () => {
    const onExpired = jest.fn();
    new Deadline(5_000, onExpired);
    advance(4_999);
    expect(onExpired).not.toHaveBeenCalled();
    advance(1);
    expect(onExpired).toHaveBeenCalledTimes(1);
  });

  it('does not expire once it is cleared', () => {
    const onExpired = jest.fn();
    const deadline = new Deadline(5_000, onExpired);
    deadline.clear();
    advance(10_000);
    expect(onExpired).not.toHaveBeenCalled();
  });

  it('expires a second later if the event loop was blocked when it was due', () => {
    const onExpired = jest.fn();
    new Deadline(5_000, onExpired);
    advance(5_000, 60_000);
    expect(onExpired).not.toHaveBeenCalled();
    advance(999);
    expect(onExpired).not.toHaveBeenCalled();
    advance(1);
    expect(onExpired).toHaveBeenCalledTimes(1);
  });

  it('can be cleared in the grace period', () => {
    const onExpired = jest.fn();
    const deadline = new Deadline(5_000, onExpired);
    advance(5_000, 60_000);
    deadline.clear();
    advance(10_000);
    expect(onExpired).not.toHaveBeenCalled();
  });

  it('does not keep the process alive', () => {
    jest.useRealTimers();
    const timers = jest.spyOn(global, 'setTimeout');
    const deadline = new Deadline(5_000, () => {});
    const timer = timers.mock.results[0]?.value as NodeJS.Timeout;
    expect(timer.hasRef()).toBe(false);
    deadline.clear();
  });
});
