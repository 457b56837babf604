import { createDelay } from '../../lib/client/delay';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';

describe('createDelay', () => {
  it('waits for the maximum delay of a timer if the delay is longer, and does not end at once', async () => {
    useFakeTimeouts();
    let isOver = false;
    const { wait } = createDelay();
    void wait(2_592_000_000).then(() => (isOver = true)); // a Retry-After of 30 days
    jest.advanceTimersByTime(2_147_483_646);
    await turn();
    expect(isOver).toBe(false);
    jest.advanceTimersByTime(1);
    await turn();
    expect(isOver).toBe(true);
  });

  it('ends the wait with end(), and leaves no timer', async () => {
    useFakeTimeouts();
    const { wait, end } = createDelay();
    const waiting = wait(1_000);
    end();
    await waiting;
    expect(jest.getTimerCount()).toBe(0);
  });
});
