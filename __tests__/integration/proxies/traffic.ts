import { setTimeout as sleep } from 'node:timers/promises';
import { SseClient } from '../../../lib/client/index';
import type { Transport } from '../../../lib/client/index';
import type { SseOptions } from '../../../lib/index';
import { openServer } from '../../delivery/open-server';
import { Direction } from '../../delivery/direction';
import type { Message, DirectionReport } from '../../delivery/direction';
import { createRandom } from '../../helpers/random';
import { waitFor } from '../../helpers/wait-for';

/** Starts a proxy in front of a port. */
export type StartProxy = (targetPort: number) => Promise<{ port: number; stop(): Promise<void> }>;

export interface TrafficOptions {
  seed: number;
  /** At least this many messages are sent in each direction, and more until all cuts happened. */
  messages: number;
  /** How often the proxy must cut the stream. */
  cuts?: number;
  /** Milliseconds of silence after which the proxy cuts it. */
  cutAfter?: number;
  /** Messages in each direction that are sent at once, before all have to arrive. @default all */
  burst?: number;
}

export interface TrafficReport {
  up: DirectionReport;
  down: DirectionReport;
  /** Types of the client's events other than `message`, in order. */
  events: string[];
  /** The client's transport in the end. */
  transport: Transport;
  /** Number of sessions that were opened and resumed. */
  opened: number;
  resumed: number;
}

/** Messages in each direction between two silences. */
const BURST = 2_000;
/** Size of the largest message in bytes. Larger ones would only make the proxy slow. */
const LARGEST = 700;
/** How many milliseconds before or after the cut the next burst begins, at most. */
const NEAR = 30;

/** Sends messages in both directions through a proxy, at once or in bursts that begin around a cut. */
export async function runTraffic(
  startProxy: StartProxy,
  { seed, messages, cuts = 0, cutAfter = 0, burst = cuts ? BURST : messages }: TrafficOptions,
): Promise<TrafficReport> {
  const random = createRandom(seed);
  const { sse, url, close } = await openBehind<Message>(startProxy);
  const up = new Direction(random.integer(0, 2 ** 31), LARGEST);
  const down = new Direction(random.integer(0, 2 ** 31), LARGEST);
  sse.on('connection', (connection) => {
    connection.on('message', (message) => up.receive(message));
  });
  const { client, events } = openRecorded<Message>(url);
  client.onmessage = ({ data }) => down.receive(data);
  const state = () =>
    `${up.received} of ${up.sent} up, ${down.received} of ${down.sent} down, seed ${seed}, ${events.join()}`;

  try {
    await waitFor(() => events.includes('open'), 10_000, state);
    // A stream that was given up before its first event may have left a session.
    const connection = [...sse.connections].at(-1);
    const countCuts = () => events.filter((event) => event === 'disconnect').length;
    do {
      for (let left = burst; left > 0; left--) {
        client.send(up.draw());
        connection!.send(down.draw());
      }
      await waitFor(() => up.received >= up.sent && down.received >= down.sent, 30_000, state);
      if (cutAfter) await sleep(cutAfter + random.integer(-NEAR, NEAR));
    } while (up.sent < messages || countCuts() < cuts);
    await sleep(500); // lets a late duplicate arrive
    const { opened, resumed } = sse.stats();
    const { transport } = client;
    return {
      up: up.report(),
      down: down.report(),
      events: [...events],
      transport,
      opened,
      resumed,
    };
  } finally {
    await end(client);
    await close();
  }
}

/** Keeps a stream without messages open through a proxy. Returns the types of the client's events. */
export async function runSilence(
  startProxy: StartProxy,
  milliseconds: number,
  options: SseOptions = {},
): Promise<string[]> {
  const { url, close } = await openBehind(startProxy, options);
  const { client, events } = openRecorded(url);
  try {
    await waitFor(() => events.length > 0);
    await sleep(milliseconds);
    return [...events];
  } finally {
    await end(client);
    await close();
  }
}

/** Measures the milliseconds from the creation of a client to its first message. */
export async function measureFirstMessages(
  startProxy: StartProxy,
  count: number,
): Promise<number[]> {
  const { sse, url, close } = await openBehind(startProxy);
  sse.on('connection', (connection) => connection.send('first'));
  const times: number[] = [];
  try {
    while (times.length < count) times.push(await measureFirstMessage(url));
    return times;
  } finally {
    await close();
  }
}

async function measureFirstMessage(url: string): Promise<number> {
  const start = performance.now();
  const client = new SseClient(url);
  try {
    await new Promise((resolve, reject) => {
      client.onmessage = resolve;
      client.onerror = ({ message }) => reject(new Error(message));
    });
    return performance.now() - start;
  } finally {
    await end(client);
  }
}

/** Starts a server and a proxy in front of it. */
async function openBehind<Carried = unknown>(startProxy: StartProxy, options: SseOptions = {}) {
  const server = await openServer<Carried, Carried>(options);
  try {
    const proxy = await startProxy(server.port);
    return {
      sse: server.sse,
      url: `http://127.0.0.1:${proxy.port}/sse`,
      async close() {
        await server.close();
        await proxy.stop();
      },
    };
  } catch (error) {
    await server.close();
    throw error;
  }
}

function openRecorded<Incoming>(url: string) {
  const client = new SseClient<Incoming>(url);
  const events: string[] = [];
  const types = ['open', 'error', 'disconnect', 'reconnect', 'sessionlost', 'close'] as const;
  for (const type of types) client.addEventListener(type, () => events.push(type));
  return { client, events };
}

async function end(client: Pick<SseClient, 'close' | 'readyState'>): Promise<void> {
  client.close();
  await waitFor(() => client.readyState === SseClient.CLOSED, 15_000);
}
