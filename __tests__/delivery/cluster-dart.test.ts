import { seeds } from '../helpers/random';
import { runClusterDartModel } from './cluster-dart-model';

// `npm run soak cluster-dart` performs 10,000 runs.
describe('Clients of the Dart dialect and several nodes in a simulation', () => {
  // The first seed is always the same, so that the coverage hardly varies.
  it.each([23, ...seeds(1)])(
    'deliver everything once and in order, or end the session with 1002 or 1006, whatever fails (SEED=%d)',
    async (seed) => {
      await runClusterDartModel(seed, 10); // throws if a guarantee is violated
    },
    60_000,
  );
});
