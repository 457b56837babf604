import { seeds } from '../helpers/random';
import { runKills } from './kill';

// 50 kills: `npm run soak kill`.
describe('When the server is killed in the middle of traffic and started anew, the client', () => {
  it.each(seeds(1))(
    'names each message that was not delivered (SEED=%d)',
    async (seed) => {
      const { sent, delivered, unacknowledged, silentlyLost, disorder } = await runKills(seed, 3);
      expect(sent).toBeGreaterThan(50);
      expect(silentlyLost).toEqual([]);
      // In order, none twice.
      expect(delivered).toEqual([...new Set(delivered)].sort((a, b) => a - b));
      expect(disorder).toEqual([]);
      const named = unacknowledged.flat();
      expect(named).toEqual([...new Set(named)].sort((a, b) => a - b));
      // Three sessions were lost; the last ended in order, with nothing left.
      expect(unacknowledged).toHaveLength(4);
      expect(unacknowledged[3]).toEqual([]);
    },
    30_000,
  );
});
