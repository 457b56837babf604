import { createRandom } from '../helpers/random';
import type { Random } from '../helpers/random';
import type { VirtualClock } from '../helpers/virtual-clock';

/** A random sequence of steps on a simulated network and clock. */
export interface Simulation {
  readonly clock: VirtualClock;
  readonly random: Random;
  /** What violates a guarantee. */
  readonly violations: string[];
  /** What has happened, for the message of an error. */
  readonly trace: string[];
  /** Milliseconds before the first step. */
  readonly delay: number;
  step(): Promise<void>;
  finish(): Promise<void>;
}

/** Runs a simulation with each of several seeds. Throws an error with the seed and the trace of one with a violation. */
export async function runSimulations(
  create: (seed: number) => Simulation,
  seed: number,
  runs: number,
): Promise<void> {
  const { random } = Math;
  try {
    for (let i = 0; i < runs; i++) {
      const runSeed = seed + i;
      Math.random = createRandom(runSeed).next;
      const { violations, trace } = await run(create(runSeed));
      if (violations.length === 0) continue;
      throw new Error(`SEED=${runSeed}:\n${[...violations.slice(0, 5), ...trace].join('\n')}`);
    }
  } finally {
    Math.random = random;
  }
}

/** Shuts the nodes of a simulation down, one after the other. */
export async function closeNodes(
  clock: VirtualClock,
  nodes: Iterable<{ sse: { close(): unknown }; engine: { kill(): void } }>,
): Promise<void> {
  for (const { sse, engine } of nodes) {
    void sse.close();
    await clock.advance(10);
    engine.kill();
  }
  await clock.advance(30_000);
}

async function run(simulation: Simulation): Promise<Simulation> {
  try {
    await simulation.clock.advance(simulation.delay);
    for (let steps = simulation.random.integer(5, 80); steps > 0; steps--) await simulation.step();
    await simulation.finish();
    return simulation;
  } finally {
    simulation.clock.uninstall();
  }
}
