import { seeds } from '../helpers/random';
import { runModel } from './model';

// The long one, of 10,000 runs: `npm run soak model`.
describe('Whatever a client, a server and the network between them do, the channel', () => {
  test.each(seeds(1))(
    'delivers a prefix of what was sent, and tells who lost the rest (SEED=%d)',
    (seed) => runModel(seed, 300),
    60_000,
  );
});
