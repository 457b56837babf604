import { seeds } from '../helpers/random';
import { runKills } from './kill';

// `npm run soak kill` kills the server 50 times.
describe('When the server process is killed during traffic and restarted, the client', () => {
  it.each(seeds(1))(
    'reports each message that was not delivered as unacknowledged (SEED=%d)',
    async (seed) => {
      const { sent, delivered, unacknowledged, silentlyLost, disorder } = await runKills(seed, 3);
      expect(sent).toBeGreaterThan(0);
      expect(silentlyLost).toEqual([]);
      // Both lists are in order and without duplicates.
      expect(delivered).toEqual([...new Set(delivered)].sort((a, b) => a - b));
      expect(disorder).toEqual([]);
      const reported = unacknowledged.flat();
      expect(reported).toEqual([...new Set(reported)].sort((a, b) => a - b));
      // Three sessions were lost. The fourth was closed after everything was acknowledged.
      expect(unacknowledged).toHaveLength(4);
      expect(unacknowledged[3]).toEqual([]);
    },
    30_000,
  );
});
