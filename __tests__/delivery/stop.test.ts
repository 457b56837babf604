import { peakToMean, runStop } from './stop';

// 1,000 clients: `npm run soak stop`.
describe('When the server stops in order, with 50 clients on it', () => {
  it('ends in time, loses nothing that was sent before, and its clients come back spread', async () => {
    const report = await runStop({ clients: 50, drainTimeout: 3_000, reconnectJitter: 3_000 });
    const { exitAfter, exitCode, lostDown, lostUp, named, returns, ends } = report;
    expect(exitCode).toBe(0);
    expect(exitAfter).toBeLessThan(4_000);
    expect({ lostDown, lostUp, named, ends }).toEqual({
      lostDown: 0,
      lostUp: 0,
      named: 0,
      ends: [],
    });
    expect(returns).toHaveLength(50);
    // Fifty draws are no smooth curve: of 100 ms parts the soak speaks.
    expect(Math.max(...returns) - Math.min(...returns)).toBeGreaterThan(1_500);
    expect(peakToMean(returns, 1_000)).toBeLessThan(2.2);
  }, 30_000);
});
