import { setTimeout as sleep } from 'node:timers/promises';
import { SseClient } from '../../lib/client/index';
import { ChaosProxy } from '../helpers/chaos-proxy';
import type { Fault, FaultKind } from '../helpers/chaos-proxy';
import { fetchWithTimeout } from '../helpers/fetch-with-timeout';
import { createRandom } from '../helpers/random';
import type { Random } from '../helpers/random';
import { waitFor } from '../helpers/wait-for';
import { openServer } from './open-server';
import { Direction } from './direction';
import type { Message, DirectionReport } from './direction';

export interface ChaosOptions {
  seed: number;
  /** At least this many messages are sent in each direction, and more until all faults struck. */
  messages: number;
  faults: number;
  /** Milliseconds after which the run fails. */
  timeout: number;
}

export interface ChaosReport {
  seed: number;
  up: DirectionReport;
  down: DirectionReport;
  /** Number of faults that occurred. */
  struck: number;
  /** Number of times the session was resumed. */
  resumed: number;
  /** Ends of sessions, of which there must be none. */
  ends: string[];
  /** Largest `unacknowledgedAmount` of the server's connection, in bytes. */
  peak: number;
}

/** Number of faults that are injected at the same time. */
const CONCURRENT_FAULTS = 3;
/** The share of binary messages. */
const BINARY_SHARE = 0.3;
/** By how many faults the traffic may be ahead of the faults. */
const LEAD = 6;

/** Sends messages in both directions through a proxy that injects faults. */
export async function runChaos({
  seed,
  messages,
  faults,
  timeout,
}: ChaosOptions): Promise<ChaosReport> {
  const random = createRandom(seed);
  const { sse, port, close } = await openServer<Message, Message>({
    heartbeatInterval: 200,
    reconnectTimeout: 60_000,
  });
  const proxy = await ChaosProxy.open(port);

  const up = new Direction(random.integer(0, 2 ** 31), undefined, BINARY_SHARE);
  const down = new Direction(random.integer(0, 2 ** 31), undefined, BINARY_SHARE);
  const ends: string[] = [];
  const isOver = () => ends.length > 0;
  let finish = (_error?: Error) => {};
  const over = new Promise<void>((resolve, reject) => {
    finish = (error) => (error ? reject(error) : resolve());
  });
  const end = (what: string) => {
    ends.push(what);
    finish();
  };
  sse.on('connection', (connection) => {
    connection.on('message', (message) => up.receive(message));
    connection.on('close', (code, reason) => end(`server: ${code} ${reason}`));
  });
  const client = new SseClient<Message, Message>(`${proxy.origin}/sse`, {
    backoff: (attempt) => Math.min(200, 5 * 2 ** attempt),
    fetch: fetchWithTimeout(1_000),
  });
  client.onerror = () => {}; // the faults are expected
  client.onmessage = ({ data }) => down.receive(data);
  client.onsessionlost = ({ reason }) => end(`sessionlost: ${reason}`);
  client.onclose = ({ code, reason }) => end(`client: ${code} ${reason}`);
  await new Promise((resolve) => (client.onopen = resolve));
  // If the response to the first GET came too late, there is more than one session.
  const connection = [...sse.connections].at(-1)!;
  let peak = 0;

  /** Sends at the pace of the faults, until the last of them has struck. */
  async function send(messagesOf: Direction, sink: WritableStream<Message>): Promise<void> {
    const writer = sink.getWriter();
    while (!isOver() && (messagesOf.sent < messages || proxy.struck < faults)) {
      await writer.write(messagesOf.draw());
      peak = Math.max(peak, connection.unacknowledgedAmount);
      const { struck } = proxy;
      const isAhead = messagesOf.sent / messages > (struck + LEAD) / faults;
      for (let turns = 0; isAhead && proxy.struck === struck && turns < 4; turns++) await sleep(5);
    }
  }

  const plan = Array.from({ length: faults }, () => drawFault(random));
  async function strike(): Promise<void> {
    for (let fault; !isOver() && (fault = plan.pop());) {
      const progress = { hasStruck: false };
      const struck = proxy.inject(fault).then(() => (progress.hasStruck = true));
      const isOfGet = fault.method === 'GET' && fault.direction === 'up';
      while (!progress.hasStruck && !isOver()) {
        if (isOfGet) proxy.cut('GET'); // makes the client send a new GET
        await Promise.race([struck, over, sleep(500)]);
      }
    }
  }

  const state = () =>
    `${up.received} of ${up.sent} up, ${down.received} of ${down.sent} down, ` +
    `${proxy.struck} of ${faults} faults, seed ${seed}, ends ${JSON.stringify(ends)}`;

  const timer = setTimeout(() => {
    finish(new Error(`not complete after ${timeout} ms: ${state()}`));
  }, timeout);
  try {
    const traffic = [send(up, client.sink), send(down, connection.sink)];
    const strikes = Array.from({ length: CONCURRENT_FAULTS }, strike);
    await Promise.race([Promise.all([...traffic, ...strikes]), over]);
    const isComplete = () => up.received >= up.sent && down.received >= down.sent;
    await waitFor(() => isOver() || isComplete(), 30_000, state);
    await sleep(500); // lets a late duplicate arrive
    const { resumed } = sse.stats();
    const { struck } = proxy;
    return {
      seed,
      up: up.report(),
      down: down.report(),
      struck,
      resumed,
      ends: [...ends],
      peak,
    };
  } finally {
    clearTimeout(timer);
    ends.push('test over');
    client.close();
    await waitFor(() => client.readyState === SseClient.CLOSED, 15_000);
    await close();
    await proxy.close();
  }
}

/** Draws a fault and the byte at which it strikes. */
function drawFault(random: Random): Fault {
  const kinds = [
    ...(['fin', 'fin', 'rst', 'rst', 'rst', 'half-close', 'half-close'] as const),
    ...(['black-hole', 'stall', 'delay', 'slices', 'slices'] as const),
  ];
  const kind: FaultKind = random.pick(kinds);
  const method = random.pick(['GET', 'POST'] as const);
  const direction = random.pick(['up', 'down'] as const);
  const carriesMessages = (method === 'GET') === (direction === 'down');
  let after: Fault['after'] = carriesMessages
    ? random.magnitude(0, 100_000)
    : random.integer(0, 400);
  if (method === 'POST' && random.next() < 0.4) after = direction === 'up' ? 'request' : 0;
  return {
    kind,
    method,
    direction,
    after,
    milliseconds: random.integer(1, kind === 'stall' ? 600 : 20),
    bytes: random.integer(1, kind === 'slices' ? 2_000 : 500_000),
  };
}
