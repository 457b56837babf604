import { seeds } from '../helpers/random';
import { runChaos } from './chaos';

// `npm run soak chaos` sends 10,000 messages in each direction through 500 faults, with 20 seeds.
describe('Through a network that closes, resets, stalls and loses connections, the channel', () => {
  it.concurrent.each(seeds(3))(
    'delivers each message, text or binary, once and in order in both directions (SEED=%d)',
    async (seed) => {
      const { up, down, struck, resumed, ends, peak } = await runChaos({
        seed,
        messages: 1_500,
        faults: 60,
        timeout: 50_000,
      });
      expect(ends).toEqual([]);
      for (const direction of [up, down]) {
        expect(direction.sent).toBeGreaterThanOrEqual(1_500);
        expect(direction).toMatchObject({ lost: 0, duplicated: 0, reordered: 0 });
        expect(direction.receivedHash).toBe(direction.sentHash);
      }
      expect(struck).toBe(60);
      expect(resumed).toBeGreaterThan(0); // few, if the client concludes from the faults that it has to poll
      expect(peak).toBeLessThan(16 * 1024 * 1024);
    },
    60_000,
  );
});
