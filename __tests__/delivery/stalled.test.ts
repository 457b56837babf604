import { runStalled } from './stalled';

const MIB = 1024 * 1024;

// 99 readers, 100 MB, and what it costs them: `npm run soak stalled`.
describe('When one of ten readers does not read, the server', () => {
  it.each([
    ['which its socket still takes', MIB],
    ['which its socket does not take', 12 * MIB],
  ])(
    'closes its connection at the bound, %s, and it alone',
    async (_, maxBufferedAmount) => {
      const messages = Math.ceil((maxBufferedAmount * 1.3) / 65_536);
      const { held, appliedAfter, close, told, received } = await runStalled({
        readers: 9,
        isStalled: true,
        messages,
        messageBytes: 65_536,
        interval: 5,
        maxBufferedAmount,
      });
      const reason = `over ${maxBufferedAmount} bytes unacknowledged (maxBufferedAmount)`;
      expect(close).toEqual({ code: 1008, reason });
      expect(told).toEqual(close);
      expect(held).toBeGreaterThan(maxBufferedAmount / 2);
      expect(held).toBeLessThanOrEqual(maxBufferedAmount + 256 * 1024);
      expect(appliedAfter).toBeLessThan(1_000);
      expect(received).toEqual(Array.from({ length: 9 }, () => messages));
    },
    30_000,
  );
});
