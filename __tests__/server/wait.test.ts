import { wait, waitAtMost } from '../../lib/server/wait';

describe('wait', () => {
  it('resolves after its time', async () => {
    jest.useFakeTimers();
    let isOver = false;
    void wait(100).then(() => (isOver = true));
    await jest.advanceTimersByTimeAsync(99);
    expect(isOver).toBe(false);
    await jest.advanceTimersByTimeAsync(1);
    expect(isOver).toBe(true);
    jest.useRealTimers();
  });
});

describe('waitAtMost', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it('settles as the promise does, and leaves no timer', async () => {
    expect(await waitAtMost(100, Promise.resolve('x'), () => 'late')).toBe('x');
    await expect(waitAtMost(100, Promise.reject(new Error('no')), () => 'late')).rejects.toThrow(
      'no',
    );
    expect(jest.getTimerCount()).toBe(0);
  });

  it('has the result of the callback when the time is over', async () => {
    const late = waitAtMost(100, new Promise<string>(() => {}), () => 'late');
    const failed = waitAtMost(100, new Promise<string>(() => {}), () => {
      throw new Error('too late');
    });
    const rejection = expect(failed).rejects.toThrow('too late');
    await jest.advanceTimersByTimeAsync(100);
    expect(await late).toBe('late');
    await rejection;
  });
});
