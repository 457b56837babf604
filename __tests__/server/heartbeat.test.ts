import { Heartbeat } from '../../lib/server/heartbeat';

describe('Heartbeat', () => {
  beforeEach(() => jest.useFakeTimers());

  afterEach(() => jest.useRealTimers());

  it('pings every target once per interval, first after a full interval', () => {
    const heartbeat = new Heartbeat(1000);
    const ping = jest.fn();
    heartbeat.start({ ping });
    jest.advanceTimersByTime(999);
    expect(ping).toHaveBeenCalledTimes(0);
    jest.advanceTimersByTime(1);
    expect(ping).toHaveBeenCalledTimes(1);
    jest.advanceTimersByTime(9000);
    expect(ping).toHaveBeenCalledTimes(10);
  });

  it('spreads the pings of its targets over the interval', () => {
    const heartbeat = new Heartbeat(1000);
    const pings: number[] = [];
    const start = Date.now();
    for (let i = 0; i < 10; i++) {
      heartbeat.start({ ping: () => pings.push(Date.now() - start) });
      jest.advanceTimersByTime(100);
    }
    jest.advanceTimersByTime(900);
    expect(pings).toEqual([1000, 1100, 1200, 1300, 1400, 1500, 1600, 1700, 1800, 1900]);
  });

  it('runs one timer for all targets, and none without targets', () => {
    const heartbeat = new Heartbeat(1000);
    expect(jest.getTimerCount()).toBe(0);
    const all = [1, 2, 3].map(() => ({ ping: () => {} }));
    const slots = all.map((target) => heartbeat.start(target));
    const stop = (i: number) => heartbeat.stop(all[i]!, slots[i]!);
    expect(jest.getTimerCount()).toBe(1);
    stop(0);
    stop(0); // has no effect the second time
    stop(1);
    expect(jest.getTimerCount()).toBe(1);
    stop(2);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('does not ping a target that was stopped, and restarts for the next one', () => {
    const heartbeat = new Heartbeat(1000);
    const first = jest.fn();
    const second = jest.fn();
    const target = { ping: first };
    const slot = heartbeat.start(target);
    jest.advanceTimersByTime(500);
    heartbeat.stop(target, slot);
    heartbeat.start({ ping: second });
    jest.advanceTimersByTime(1000);
    expect(first).not.toHaveBeenCalled();
    expect(second).toHaveBeenCalledTimes(1);
  });

  it('allows a target to be stopped during its own ping', () => {
    const heartbeat = new Heartbeat(1000);
    const other = jest.fn();
    const target = { ping: () => heartbeat.stop(target, slot) };
    const slot = heartbeat.start(target);
    heartbeat.start({ ping: other });
    jest.advanceTimersByTime(2000);
    expect(other).toHaveBeenCalledTimes(2);
    expect(jest.getTimerCount()).toBe(1);
  });

  it.each([10, 30, 100, 15_000])('keeps to an interval of %i ms', (interval) => {
    const heartbeat = new Heartbeat(interval);
    const ping = jest.fn();
    heartbeat.start({ ping });
    jest.advanceTimersByTime(interval * 20);
    expect(ping).toHaveBeenCalledTimes(20);
  });

  it('does not keep the process alive', () => {
    jest.useRealTimers();
    const setTimer = jest.spyOn(global, 'setInterval');
    const heartbeat = new Heartbeat(1000);
    const target = { ping: () => {} };
    const slot = heartbeat.start(target);
    const timer = setTimer.mock.results[0]!.value as NodeJS.Timeout;
    expect(timer.hasRef()).toBe(false);
    heartbeat.stop(target, slot);
    setTimer.mockRestore();
  });
});
