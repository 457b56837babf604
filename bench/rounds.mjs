import { setTimeout as sleep } from 'node:timers/promises';
import { openTestbed } from './testbed.mjs';

/** Milliseconds after which a round that is not over never will be. */
const PATIENCE = 90_000;

/**
 * Measures the peers of a scenario in turn, each time in another order, so that none has always the
 * same one before it. Returns what each round of each peer gave, or why a peer's results are void.
 */
export async function measure(scenario, rounds, size) {
  const outcomes = Object.fromEntries(
    Object.keys(scenario.peers).map((name) => [name, { samples: [], fault: undefined }]),
  );
  const measureAll = scenario.fresh ? measureFresh : measureWarm;
  await measureAll(scenario, rounds, size, async (name, work) => {
    const outcome = outcomes[name];
    if (outcome.fault) return;
    try {
      outcome.samples.push(...(await Promise.race([work(), tooLate()])));
    } catch (error) {
      outcome.fault = error.message;
      process.exitCode = 1;
    }
  });
  return outcomes;
}

/** One server a peer, for all rounds, after one that does not count. */
async function measureWarm(scenario, rounds, size, attempt) {
  const testbeds = {};
  for (const [name, peer] of Object.entries(scenario.peers)) {
    testbeds[name] = await openTestbed(peer);
    await attempt(name, async () => {
      await scenario.prepare(testbeds[name], size);
      await scenario.round(testbeds[name], size);
      return [];
    });
  }
  for (let round = 0; round < rounds; round++) {
    for (const name of rotate(Object.keys(testbeds), round)) {
      await attempt(name, async () => [await scenario.round(testbeds[name], size)]);
    }
  }
  for (const testbed of Object.values(testbeds)) await testbed.close();
}

/** One server a peer and round. */
async function measureFresh(scenario, rounds, size, attempt) {
  for (let round = 0; round < rounds; round++) {
    for (const name of rotate(Object.keys(scenario.peers), round)) {
      const testbed = await openTestbed(scenario.peers[name]);
      await attempt(name, async () => {
        await scenario.prepare(testbed, size);
        return [await scenario.round(testbed, size)];
      });
      await testbed.close();
    }
  }
}

async function tooLate() {
  await sleep(PATIENCE, undefined, { ref: false });
  throw new Error(`not over after ${PATIENCE} ms`);
}

function rotate(names, by) {
  const at = by % names.length;
  return [...names.slice(at), ...names.slice(0, at)];
}
