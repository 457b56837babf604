import { seeds } from '../helpers/random';
import { runClusterModel } from './cluster-model';

// `npm run soak cluster-model` performs 10,000 runs.
describe('Several nodes in a simulation', () => {
  // The first seed is always the same, so that the coverage hardly varies.
  it.each([23, ...seeds(1)])(
    'deliver everything once and in order, whatever fails (SEED=%d)',
    async (seed) => {
      await runClusterModel(seed, 30); // throws if a guarantee is violated
    },
    60_000,
  );
});
