import fc from 'fast-check';
import { SseClient } from '../../lib/client/index';
import { createRandom } from '../helpers/random';
import type { Break } from '../helpers/simulated-network';
import { World } from './world';

/** Small bounds and short times, so that a run of a few dozen steps meets all of them. */
const OPTIONS = {
  heartbeatInterval: 30,
  reconnectTimeout: 500,
  maxPayload: 1_000,
  bodyTimeout: 300,
  highWaterMark: 1_000,
  maxBufferedAmount: 4_000,
  maxPending: 8,
  drainTimeout: 200,
  reconnectSpread: 100,
};

/** Codes that only one side gives. */
const BY_SERVER = 4001;
const BY_CLIENT = 4002;

/** Longer than anything waits that is still to come, once the network is well. */
const PATIENCE = 60_000;

/** What may happen. A step that has no meaning at its time does nothing. */
const STEPS = {
  wait: (world: World, milliseconds: number) => world.clock.advance(milliseconds),
  sendUp(world: World, { count, size }: { count: number; size: number }) {
    for (let i = 0; i < count; i++) world.sendUp(size);
  },
  sendDown(world: World, { count, size }: { count: number; size: number }) {
    for (let i = 0; i < count; i++) for (const end of world.open()) world.sendDown(end, size);
  },
  /** More than a client may leave unconfirmed. */
  overflow(world: World) {
    for (let i = 0; i < 20; i++) for (const end of world.open()) world.sendDown(end, 300);
  },
  break: (world: World, { method, ...what }: Break & { method?: 'GET' | 'POST' }) =>
    world.network.break(what, method),
  plan: (world: World, plan: Parameters<World['network']['plan']>[0]) => world.network.plan(plan),
  latency: (world: World, milliseconds: number) => (world.network.latency = milliseconds),
  stall: (world: World, isStalled: boolean) => world.network.stall(isStalled),
  pause(world: World) {
    for (const { connection } of world.open()) connection.pause();
  },
  resume(world: World) {
    for (const { connection } of world.open()) connection.resume();
  },
  kill: (world: World) => world.kill(),
  /** The old server's clients are sent to the new one. */
  restart(world: World) {
    void world.sse.close();
    world.openServer();
  },
  /** Nobody listens for a while. */
  unplug: (world: World, milliseconds: number) => world.network.unplug(milliseconds),
  closeConnection(world: World) {
    for (const { connection } of world.open()) connection.close(BY_SERVER);
  },
  closeClient: (world: World) => world.client.close(BY_CLIENT),
  openClient(world: World) {
    if (world.client.readyState === SseClient.CLOSED) world.openClient();
  },
};

type StepName = keyof typeof STEPS;
type Step = { [Name in StepName]: [Name, Parameters<(typeof STEPS)[Name]>[1]?] }[StepName];

const breaking = {
  told: fc.constantFrom('both', 'client', 'server', 'neither'),
  serverToldAfter: fc.option(fc.nat(1_000), { nil: undefined }),
};
const method = fc.constantFrom('GET', 'POST');
const from = fc.constantFrom('client', 'server');
const bytes = fc.nat(800);
const burst = fc.record({ count: fc.integer({ min: 1, max: 12 }), size: fc.nat(300) });
const large = fc.record({ count: fc.constant(1), size: fc.integer({ min: 900, max: 1_200 }) });

/** Steps of these names, with such a value. */
const steps = (
  weight: number,
  names: StepName[],
  value: fc.Arbitrary<unknown> = fc.constant(undefined),
) => ({ weight, arbitrary: fc.tuple(fc.constantFrom(...names), value) });

const step = fc.oneof(
  steps(20, ['wait'], fc.nat(20)),
  steps(4, ['wait'], fc.nat(700)),
  steps(8, ['sendUp'], burst),
  steps(1, ['sendUp'], large),
  steps(8, ['sendDown'], burst),
  steps(4, ['break'], fc.record({ ...breaking, method: fc.option(method, { nil: undefined }) })),
  steps(4, ['plan'], fc.record({ method, breakAfter: fc.record({ ...breaking, from, bytes }) })),
  steps(2, ['plan'], fc.record({ method, late: fc.nat(300) })),
  steps(2, ['plan'], fc.record({ method, isDoubled: fc.constant(true) })),
  steps(1, ['latency'], fc.nat(15)),
  steps(1, ['unplug'], fc.nat(1_000)),
  steps(2, ['stall'], fc.boolean()),
  steps(5, ['pause', 'resume', 'overflow', 'kill', 'restart']),
  steps(3, ['closeConnection', 'closeClient', 'openClient']),
) as fc.Arbitrary<Step>;

/** Takes the steps, lets the network heal, and returns what broke the promise. */
async function run(steps: readonly Step[]): Promise<string[]> {
  const world = new World(OPTIONS);
  const { clock, network, faults } = world;
  try {
    await clock.advance(5);
    for (const [name, value] of steps) {
      await (STEPS[name] as (world: World, value: unknown) => unknown)(world, value);
    }
    network.heal();
    for (const { connection } of world.connections) connection.resume();

    const hasArrived = () => {
      const { client, session, connections } = world;
      if (client.readyState === SseClient.CLOSED) return true;
      const peer = session.peer === undefined ? undefined : connections[session.peer]!;
      return session.sent === peer?.received && peer.sent === session.received;
    };
    await advanceUntil(world, hasArrived, 'all to arrive');
    world.client.close(BY_CLIENT);
    await advanceUntil(world, () => world.client.readyState === SseClient.CLOSED, 'the close');
    void world.sse.close(1001);
    await clock.advance(PATIENCE);
    if (clock.timers > 0) faults.push(`${clock.timers} timers are left`);
    return [...faults, ...checkBooks(world)];
  } finally {
    clock.uninstall();
  }
}

async function advanceUntil(world: World, isDone: () => boolean, what: string): Promise<void> {
  for (let waited = 0; !isDone(); waited += 100) {
    if (waited > PATIENCE) return void world.faults.push(`waited in vain for ${what}`);
    await world.clock.advance(100);
  }
}

/** What arrived is a prefix of what was sent; whoever may have lost the rest was told so. */
function checkBooks({ sessions, connections }: World): string[] {
  const faults: string[] = [];
  sessions.forEach(({ sent, received, peer, end }, index) => {
    const server = connections.find((connection) => connection.peer === index);
    if (!end) return faults.push(`session ${index} has no end`);
    if (sent - end.unsure > (server?.received ?? 0)) faults.push(`session ${index}: lost up`);
    if (end.wasClean && end.unsure > 0) faults.push(`session ${index}: ${end.how} was not clean`);
    const wasAgreed = end.how.startsWith(`close ${BY_SERVER}`) || end.how.startsWith('reset 1012');
    if (wasAgreed && received !== connections[peer!]!.sent) {
      faults.push(`session ${index}: ${end.how} before the last message`);
    }
  });
  connections.forEach(({ sent, end, wasKilled }, index) => {
    const client = sessions.find((session) => session.peer === index);
    const lost = sent - (client?.received ?? 0);
    if (wasKilled) {
      if (lost > 0 && client?.end?.wasClean) faults.push(`connection ${index}: nobody was told`);
    } else if (!end) {
      faults.push(`connection ${index} has no end`);
    } else if (lost > end.unsure) {
      faults.push(`connection ${index}: lost down`);
    }
  });
  return faults;
}

/** Runs the model; throws, with the steps and the seed, where a run breaks the promise. */
export async function runModel(seed: number, numRuns: number): Promise<void> {
  const { random } = Math;
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }),
        fc.integer(),
        async (steps, delays) => {
          Math.random = createRandom(delays).next;
          const faults = await run(steps);
          if (faults.length > 0) throw new Error(faults.join('\n'));
        },
      ),
      { seed, numRuns },
    );
  } finally {
    Math.random = random;
  }
}
