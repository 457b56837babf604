import { runFlood } from './flood';
import { runSlowBodies } from './slow-bodies';

const MIB = 1024 * 1024;

describe('1,000 clients whose bodies come byte by byte', () => {
  it('are each answered 408, and another client does not notice', async () => {
    const report = await runSlowBodies(1_000, 200, { bodyTimeout: 1_000 });
    const { slowest, medianBefore, medianDuring } = report;
    process.stdout.write(
      `1,000 slow bodies: the last is answered after ${slowest.toFixed()} ms; another's echo takes ` +
        `${medianBefore.toFixed(1)} ms before, ${medianDuring.toFixed(1)} ms beside them (medians)\n`,
    );
    expect(report.statuses).toEqual({ 408: 1_000 });
    expect(slowest).toBeLessThan(30_000);
    expect(report.echoesDuring).toBeGreaterThan(10);
    expect(medianDuring).toBeLessThan(20 + 10 * medianBefore);
  }, 60_000);
});

describe('51,000 POSTs for names that are unknown and numbers past the window', () => {
  it('are all refused, and leave nothing behind', async () => {
    const { statuses, rate, growth, receipts } = await runFlood(9_000, 51_000);
    process.stdout.write(
      `51,000 POSTs refused, ${rate.toFixed()} a second: the server grew by ${(growth / MIB).toFixed(1)} MiB\n`,
    );
    expect(statuses).toEqual({ 404: 17_000, 409: 34_000 });
    expect(growth).toBeLessThan(32 * MIB);
    expect(receipts).toEqual([{ received: 1 }, { received: 1 }]);
  }, 120_000);
});
