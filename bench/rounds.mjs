import { setTimeout as sleep } from 'node:timers/promises';
import { openTestbed } from './testbed.mjs';

/** Milliseconds after which a measurement fails: a round with its preparation and the rounds that warm up. */
const ROUND_TIMEOUT = 90_000;

/**
 * Measures the peers of a scenario in turn. The order changes with each round, so that no peer always
 * runs after the same one. Returns the samples of each peer, one per round, and, if a round failed, why
 * its results are void.
 */
export async function measure(scenario, rounds, size) {
  const names = Object.keys(scenario.peers);
  const outcomes = Object.fromEntries(
    names.map((name) => [name, { samples: [], fault: undefined }]),
  );
  const order = scenario.order ?? ((round) => rotate(names, round));
  const measureAll = scenario.fresh ? measureFresh : measureWarm;
  await measureAll({ ...scenario, order }, rounds, size, async (name, work) => {
    const outcome = outcomes[name];
    if (outcome.fault) return;
    try {
      outcome.samples.push(...(await Promise.race([work(), rejectLate()])));
    } catch (error) {
      outcome.fault = error.message;
      process.exitCode = 1;
    }
  });
  return outcomes;
}

/** Uses one server per peer for all rounds, after a first round that is not counted. */
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
    for (const name of scenario.order(round)) {
      await attempt(name, async () => [await scenario.round(testbeds[name], size)]);
    }
  }
  for (const testbed of Object.values(testbeds)) await testbed.close();
}

/** Starts a new server for each peer in each round. It runs `warmUpRounds` rounds before the one that is counted. */
async function measureFresh(scenario, rounds, size, attempt) {
  for (let round = 0; round < rounds; round++) {
    for (const name of scenario.order(round)) {
      const testbed = await openTestbed(scenario.peers[name]);
      await attempt(name, async () => {
        await scenario.prepare(testbed, size);
        for (let i = 0; i < (scenario.warmUpRounds ?? 0); i++) await scenario.round(testbed, size);
        return [await scenario.round(testbed, size)];
      });
      await testbed.close();
    }
  }
}

async function rejectLate() {
  await sleep(ROUND_TIMEOUT, undefined, { ref: false });
  throw new Error(`the measurement did not end within ${ROUND_TIMEOUT} ms`);
}

function rotate(names, by) {
  const at = by % names.length;
  return [...names.slice(at), ...names.slice(0, at)];
}
