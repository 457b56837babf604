import { seeds } from '../helpers/random';
import { runChaos } from './chaos';

// The long one, of 10,000 messages each way, 500 faults and 20 seeds: `npm run soak chaos`.
describe('Through a network that cuts, resets, stalls and swallows, the channel', () => {
  test.concurrent.each(seeds(3))(
    'delivers each message once, in order, both ways (SEED=%d)',
    async (seed) => {
      const { up, down, struck, resumed, ends, peak } = await runChaos({
        seed,
        messages: 1_500,
        faults: 60,
        patience: 50_000,
      });
      expect(ends).toEqual([]);
      for (const way of [up, down]) {
        expect(way.sent).toBeGreaterThanOrEqual(1_500);
        expect(way).toMatchObject({ lost: 0, doubled: 0, reordered: 0 });
        expect(way.receivedHash).toBe(way.sentHash);
      }
      expect(struck).toBe(60);
      expect(resumed).toBeGreaterThan(3);
      expect(peak).toBeLessThan(16 * 1024 * 1024);
    },
    60_000,
  );
});
