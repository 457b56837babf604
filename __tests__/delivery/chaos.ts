import { setTimeout as sleep } from 'node:timers/promises';
import { SseClient } from '../../lib/client/index';
import { ChaosProxy } from '../helpers/chaos-proxy';
import type { Fault, FaultKind } from '../helpers/chaos-proxy';
import { impatientFetch } from '../helpers/impatient-fetch';
import { createRandom } from '../helpers/random';
import type { Random } from '../helpers/random';
import { waitFor } from '../helpers/wait-for';
import { openServer } from './open-server';
import { Direction } from './direction';
import type { Message, DirectionReport } from './direction';

export interface ChaosOptions {
  seed: number;
  /** Each way; more where the faults need more. */
  messages: number;
  faults: number;
  /** Milliseconds there are for it. */
  patience: number;
}

export interface ChaosReport {
  seed: number;
  up: DirectionReport;
  down: DirectionReport;
  /** Faults that struck. */
  struck: number;
  /** Streams that continued the session. */
  resumed: number;
  /** What must not happen: a session's end. */
  ends: string[];
  /** Most that was neither confirmed nor let go of, in bytes, at the server. */
  peak: number;
}

/** Faults that are armed at a time. */
const ARMED = 3;
/** How far, in faults, the messages may run ahead of them. */
const LEAD = 6;

/** Sends both ways through a proxy that strikes. */
export async function runChaos({
  seed,
  messages,
  faults,
  patience,
}: ChaosOptions): Promise<ChaosReport> {
  const random = createRandom(seed);
  const { sse, port, close } = await openServer<Message, Message>({
    heartbeatInterval: 200,
    reconnectTimeout: 60_000,
  });
  const proxy = await ChaosProxy.open(port);

  const up = new Direction(random.integer(0, 2 ** 31));
  const down = new Direction(random.integer(0, 2 ** 31));
  const ends: string[] = [];
  const isOver = () => ends.length > 0;
  let giveUp = (_error?: Error) => {};
  const over = new Promise<void>((resolve, reject) => {
    giveUp = (error) => (error ? reject(error) : resolve());
  });
  const end = (what: string) => {
    ends.push(what);
    giveUp();
  };
  sse.on('connection', (connection) => {
    connection.on('message', (message) => up.receive(message));
    connection.on('close', (code, reason) => end(`server: ${code} ${reason}`));
  });
  const client = new SseClient<Message, Message>(`${proxy.origin}/sse`, {
    backoff: (attempt) => Math.min(200, 5 * 2 ** attempt),
    fetch: impatientFetch(1_000),
  });
  client.onmessage = ({ data }) => down.receive(data);
  client.onsessionlost = ({ reason }) => end(`sessionlost: ${reason}`);
  client.onclose = ({ code, reason }) => end(`client: ${code} ${reason}`);
  await new Promise((resolve) => (client.onopen = resolve));
  // The last, where an answer to the first GET came too late.
  const connection = [...sse.connections].at(-1)!;
  let peak = 0;

  /** Sends at the pace of the faults, and on until the last of them has struck. */
  async function send(way: Direction, sink: WritableStream<Message>): Promise<void> {
    const writer = sink.getWriter();
    while (!isOver() && (way.sent < messages || proxy.struck < faults)) {
      await writer.write(way.draw());
      peak = Math.max(peak, connection.unacknowledgedAmount);
      const { struck } = proxy;
      const isAhead = way.sent / messages > (struck + LEAD) / faults;
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
        if (isOfGet) proxy.cut('GET'); // there is a new one only where the stream was lost
        await Promise.race([struck, over, sleep(500)]);
      }
    }
  }

  const state = () =>
    `${up.received} of ${up.sent} up, ${down.received} of ${down.sent} down, ` +
    `${proxy.struck} of ${faults} faults, seed ${seed}, ends ${JSON.stringify(ends)}`;

  const timer = setTimeout(() => {
    giveUp(new Error(`not done within ${patience} ms: ${state()}`));
  }, patience);
  try {
    const traffic = [send(up, client.sink), send(down, connection.sink)];
    const strikes = Array.from({ length: ARMED }, strike);
    await Promise.race([Promise.all([...traffic, ...strikes]), over]);
    const isComplete = () => up.received >= up.sent && down.received >= down.sent;
    await waitFor(() => isOver() || isComplete(), 30_000, state);
    await sleep(500); // what comes twice comes late
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
    ends.push('the end of the test');
    client.close();
    await waitFor(() => client.readyState === SseClient.CLOSED, 15_000);
    await close();
    await proxy.close();
  }
}

/** Any fault, at any byte of a way that is worth it. */
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
