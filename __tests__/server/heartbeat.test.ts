import { Heartbeat } from '../../lib/server/heartbeat';

describe('the heartbeat', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it('beats each of its streams once an interval, the first time a whole interval on', () => {
    const heartbeat = new Heartbeat(1000);
    const beat = jest.fn();
    heartbeat.start({ beat });
    jest.advanceTimersByTime(999);
    expect(beat).toHaveBeenCalledTimes(0);
    jest.advanceTimersByTime(1);
    expect(beat).toHaveBeenCalledTimes(1);
    jest.advanceTimersByTime(9000);
    expect(beat).toHaveBeenCalledTimes(10);
  });

  it('spreads streams over the interval', () => {
    const heartbeat = new Heartbeat(1000);
    const beats: number[] = [];
    const start = Date.now();
    for (let i = 0; i < 10; i++) {
      heartbeat.start({ beat: () => beats.push(Date.now() - start) });
      jest.advanceTimersByTime(100);
    }
    jest.advanceTimersByTime(900);
    expect(beats).toEqual([1000, 1100, 1200, 1300, 1400, 1500, 1600, 1700, 1800, 1900]);
  });

  it('has one timer for all, and none without streams', () => {
    const heartbeat = new Heartbeat(1000);
    expect(jest.getTimerCount()).toBe(0);
    const all = [1, 2, 3].map(() => ({ beat: () => {} }));
    const slots = all.map((beating) => heartbeat.start(beating));
    const stop = (i: number) => heartbeat.stop(all[i]!, slots[i]!);
    expect(jest.getTimerCount()).toBe(1);
    stop(0);
    stop(0); // the second time is without effect
    stop(1);
    expect(jest.getTimerCount()).toBe(1);
    stop(2);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('beats no more when stopped, and starts again', () => {
    const heartbeat = new Heartbeat(1000);
    const first = jest.fn();
    const second = jest.fn();
    const beating = { beat: first };
    const slot = heartbeat.start(beating);
    jest.advanceTimersByTime(500);
    heartbeat.stop(beating, slot);
    heartbeat.start({ beat: second });
    jest.advanceTimersByTime(1000);
    expect(first).not.toHaveBeenCalled();
    expect(second).toHaveBeenCalledTimes(1);
  });

  it('lets a stream stop while it beats', () => {
    const heartbeat = new Heartbeat(1000);
    const other = jest.fn();
    const beating = { beat: () => heartbeat.stop(beating, slot) };
    const slot = heartbeat.start(beating);
    heartbeat.start({ beat: other });
    jest.advanceTimersByTime(2000);
    expect(other).toHaveBeenCalledTimes(2);
    expect(jest.getTimerCount()).toBe(1);
  });

  it.each([10, 30, 100, 15_000])('keeps an interval of %i ms', (interval) => {
    const heartbeat = new Heartbeat(interval);
    const beat = jest.fn();
    heartbeat.start({ beat });
    jest.advanceTimersByTime(interval * 20);
    expect(beat).toHaveBeenCalledTimes(20);
  });

  it('keeps no process alive', () => {
    jest.useRealTimers();
    const setTimer = jest.spyOn(global, 'setInterval');
    const heartbeat = new Heartbeat(1000);
    const beating = { beat: () => {} };
    const slot = heartbeat.start(beating);
    const timer = setTimer.mock.results[0]!.value as NodeJS.Timeout;
    expect(timer.hasRef()).toBe(false);
    heartbeat.stop(beating, slot);
    setTimer.mockRestore();
  });
});
