import { seeds } from '../helpers/random';
import { runModel } from './model';

// `npm run soak model` does 10,000 runs.
describe('Whatever the client, the server and the network do, the channel', () => {
  it.each(seeds(1))(
    'delivers a prefix of what was sent and reports the rest as unacknowledged (SEED=%d)',
    (seed) => runModel(seed, 300),
    60_000,
  );
});
