import fc from 'fast-check';
import { SseClient } from '../../lib/client/index';
import type { ForeignResponse, Interference } from '../helpers/middlebox';
import { createRandom } from '../helpers/random';
import type { Break } from '../helpers/simulated-network';
import { Simulation } from './simulation';

/** Small limits and short timeouts, so that a run of a few dozen steps reaches all of them. */
const OPTIONS = {
  heartbeatInterval: 30,
  reconnectTimeout: 500,
  maxPayload: 1_000,
  bodyTimeout: 300,
  highWaterMark: 1_000,
  maxBufferedAmount: 4_000,
  reorderWindow: 8,
  drainTimeout: 200,
  reconnectJitter: 100,
};

const TRANSPORTS = ['auto', 'stream', 'poll'] as const;

/** The close codes of each side. */
const BY_SERVER = 4001;
const BY_CLIENT = 4002;

/** Milliseconds, longer than every timeout. */
const TIMEOUT = 60_000;

/** The steps of a run. A step that is not possible in the current state does nothing. */
const STEPS = {
  wait: (simulation: Simulation, milliseconds: number) => simulation.clock.advance(milliseconds),
  sendUp(simulation: Simulation, { count, size }: { count: number; size: number }) {
    for (let i = 0; i < count; i++) simulation.sendUp(size);
  },
  sendDown(simulation: Simulation, { count, size }: { count: number; size: number }) {
    for (let i = 0; i < count; i++)
      for (const end of simulation.open()) simulation.sendDown(end, size);
  },
  /** Exceeds `maxBufferedAmount`. */
  overflow(simulation: Simulation) {
    for (let i = 0; i < 20; i++) for (const end of simulation.open()) simulation.sendDown(end, 300);
  },
  break: (simulation: Simulation, { method, ...what }: Break & { method?: 'GET' | 'POST' }) =>
    simulation.network.break(what, method),
  plan: (simulation: Simulation, plan: Parameters<Simulation['network']['plan']>[0]) =>
    simulation.network.plan(plan),
  latency: (simulation: Simulation, milliseconds: number) =>
    (simulation.network.latency = milliseconds),
  stall: (simulation: Simulation, isStalled: boolean) => simulation.network.stall(isStalled),
  pause(simulation: Simulation) {
    for (const { connection } of simulation.open()) connection.pause();
  },
  resume(simulation: Simulation) {
    for (const { connection } of simulation.open()) connection.resume();
  },
  uplink: (simulation: Simulation, rate: number) => (simulation.network.uplinkRate = rate),
  interfere: (simulation: Simulation, interference: Interference) =>
    simulation.middlebox.plan(interference),
  capture: (simulation: Simulation, [response, milliseconds]: [ForeignResponse, number]) =>
    simulation.middlebox.capture(response, milliseconds),
  buffer: (simulation: Simulation, isBuffering: boolean) =>
    (simulation.middlebox.isBuffering = isBuffering),
  kill: (simulation: Simulation) => simulation.kill(),
  /** Shuts the server down gracefully; its clients reconnect to the new one. */
  restart(simulation: Simulation) {
    void simulation.sse.close();
    simulation.openServer();
  },
  /** Rejects connections for a while. */
  unplug: (simulation: Simulation, milliseconds: number) => simulation.network.unplug(milliseconds),
  closeConnection(simulation: Simulation) {
    for (const { connection } of simulation.open()) connection.close(BY_SERVER);
  },
  closeClient: (simulation: Simulation) => simulation.client.close(BY_CLIENT),
  openClient(simulation: Simulation) {
    if (simulation.client.readyState === SseClient.CLOSED) simulation.openClient();
  },
};

type StepName = keyof typeof STEPS;
type Step = { [Name in StepName]: [Name, Parameters<(typeof STEPS)[Name]>[1]?] }[StepName];

const breaking = {
  noticedBy: fc.constantFrom('both', 'client', 'server', 'neither'),
  serverNoticesAfter: fc.option(fc.nat(1_000), { nil: undefined }),
};
const method = fc.constantFrom('GET', 'POST');
const from = fc.constantFrom('client', 'server');
const bytes = fc.nat(800);
const foreignResponse = fc.constantFrom<ForeignResponse>(
  ...[200, 204, 301, 302, 307, 400, 401, 403, 404, 405, 408, 409, 410, 413, 429, 500, 502, 503].map(
    (status) => ({ status, body: '<!doctype html>', type: 'text/html' }),
  ),
  { status: 200, body: '{}', type: 'application/json' },
  { status: 200, body: 'null', type: 'application/json' },
  { status: 404, body: '{"message":"no Route matched"}', type: 'application/json' },
  { status: 410, body: '{"code":"Gone","message":"moved"}', type: 'application/json' },
  { status: 200, body: '', type: 'text/event-stream' },
  { status: 200, body: 'data: [0,0,""]\n\n', type: 'text/event-stream' },
  { status: 200, body: 'event: hello\ndata: {}\n\ndata: [0,0,""]\n\n', type: 'text/event-stream' },
);
const burst = fc.record({ count: fc.integer({ min: 1, max: 12 }), size: fc.nat(300) });
const large = fc.record({ count: fc.constant(1), size: fc.integer({ min: 900, max: 1_200 }) });

/** Draws one of the named steps and its parameter. */
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
  steps(1, ['uplink'], fc.constantFrom(5, 20, 100, Infinity)),
  steps(
    2,
    ['interfere'],
    fc.record({
      method,
      kind: fc.constant('answer'),
      response: foreignResponse,
      reachesServer: fc.boolean(),
    }),
  ),
  steps(2, ['interfere'], fc.record({ method, kind: fc.constantFrom('cached', 'stripped') })),
  steps(1, ['capture'], fc.tuple(foreignResponse, fc.nat(1_000))),
  steps(1, ['buffer'], fc.boolean()),
  steps(5, ['pause', 'resume', 'overflow', 'kill', 'restart']),
  steps(3, ['closeConnection', 'closeClient', 'openClient']),
) as fc.Arbitrary<Step>;

/** Performs the steps, repairs the network, and returns the violated guarantees. */
async function run(steps: readonly Step[]): Promise<string[]> {
  const pickTransport = () => TRANSPORTS[Math.floor(Math.random() * TRANSPORTS.length)];
  const simulation = new Simulation(OPTIONS, pickTransport);
  const { clock, network, middlebox, violations } = simulation;
  try {
    await clock.advance(5);
    for (const [name, value] of steps) {
      await (STEPS[name] as (simulation: Simulation, value: unknown) => unknown)(simulation, value);
    }
    network.heal();
    middlebox.heal();
    for (const { connection } of simulation.connections) connection.resume();

    const hasArrived = () => {
      const { client, session, connections } = simulation;
      if (client.readyState === SseClient.CLOSED) return true;
      const peer = session.peer === undefined ? undefined : connections[session.peer]!;
      return session.sent === peer?.received && peer.sent === session.received;
    };
    await advanceUntil(simulation, hasArrived, 'all messages to arrive');
    simulation.client.close(BY_CLIENT);
    await advanceUntil(
      simulation,
      () => simulation.client.readyState === SseClient.CLOSED,
      'the close',
    );
    void simulation.sse.close(1001);
    await clock.advance(TIMEOUT);
    if (clock.timers > 0) violations.push(`${clock.timers} timers are left`);
    return [...violations, ...checkRecords(simulation)];
  } finally {
    clock.uninstall();
  }
}

async function advanceUntil(
  simulation: Simulation,
  isDone: () => boolean,
  what: string,
): Promise<void> {
  for (let waited = 0; !isDone(); waited += 100) {
    if (waited > TIMEOUT) return void simulation.violations.push(`waited too long for ${what}`);
    await simulation.clock.advance(100);
  }
}

/** Checks that a prefix of what was sent arrived, and that the rest was reported to the sender. */
function checkRecords({ sessions, connections }: Simulation): string[] {
  const violations: string[] = [];
  sessions.forEach(({ sent, received, peer, end }, index) => {
    const server = connections.find((connection) => connection.peer === index);
    if (!end) return violations.push(`session ${index} has no end`);
    if (sent - end.unacknowledged > (server?.received ?? 0))
      violations.push(`session ${index}: lost up`);
    if (end.wasClean && end.unacknowledged > 0)
      violations.push(`session ${index}: ${end.how} was not clean`);
    const wasAgreed =
      end.how.startsWith(`close ${BY_SERVER}`) || end.how.startsWith('sessionlost 1012');
    if (wasAgreed && received !== connections[peer!]!.sent) {
      violations.push(`session ${index}: ${end.how} before the last message`);
    }
  });
  connections.forEach(({ sent, end, wasKilled }, index) => {
    const client = sessions.find((session) => session.peer === index);
    const lost = sent - (client?.received ?? 0);
    if (wasKilled) {
      if (lost > 0 && client?.end?.wasClean)
        violations.push(`connection ${index}: the loss was not reported to the client`);
    } else if (!end) {
      violations.push(`connection ${index} has no end`);
    } else if (lost > end.unacknowledged) {
      violations.push(`connection ${index}: lost down`);
    }
  });
  return violations;
}

/** Runs the model. Throws an error with the steps and the seed if a run violates a guarantee. */
export async function runModel(seed: number, numRuns: number): Promise<void> {
  const { random } = Math;
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }),
        fc.integer(),
        async (steps, delays) => {
          Math.random = createRandom(delays).next;
          const violations = await run(steps);
          if (violations.length > 0) throw new Error(violations.join('\n'));
        },
      ),
      { seed, numRuns },
    );
  } finally {
    Math.random = random;
  }
}
