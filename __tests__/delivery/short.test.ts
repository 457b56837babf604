import { seeds } from '../helpers/random';
import { runChaos } from './chaos';
import { cutResponsesToDartClient, cutResponsesToDuplexClient } from './cut-responses';
import { runModel } from './model';
import { takeOver } from './takeover';

// Short versions of the delivery tests, for `npm test`. `npm run test:delivery` runs the full ones.
describe('The channel', () => {
  it.each(seeds(1))(
    'keeps its guarantees in 60 random runs on a simulated network (SEED=%d)',
    (seed) => runModel(seed, 60),
    30_000,
  );

  it.each(seeds(1))(
    'delivers each message once and in order through a proxy with 10 faults (SEED=%d)',
    async (seed) => {
      const options = { seed, messages: 200, faults: 10, timeout: 25_000 };
      const { up, down, struck, ends } = await runChaos(options);
      expect({ struck, ends }).toEqual({ struck: 10, ends: [] });
      for (const direction of [up, down]) {
        expect(direction).toMatchObject({ lost: 0, duplicated: 0, reordered: 0 });
        expect(direction.receivedHash).toBe(direction.sentHash);
      }
    },
    30_000,
  );

  it.each([
    ['a Dart-dialect', cutResponsesToDartClient],
    ['a duplex', cutResponsesToDuplexClient],
  ])('delivers each message of %s client once if no response to a POST arrives', async (_, run) => {
    const { sent, delivered, struck } = await run(20);
    expect(struck).toBe(20);
    expect(delivered).toEqual(sent);
  });

  it('resumes a session whose broken stream the server notices late', async () => {
    for (let offset = 0; offset < 60_000; offset += 3_000) await takeOver(offset);
  });
});
