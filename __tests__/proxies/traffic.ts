import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { SseClient } from '../../lib/client/index';
import type { SseOptions } from '../../lib/index';
import { openServer } from '../delivery/open-server';
import { createRandom } from '../helpers/random';
import { until } from '../helpers/until';

/** Starts a proxy ahead of a port. */
export type StartProxy = (targetPort: number) => Promise<{ port: number; stop(): Promise<void> }>;

export interface TrafficOptions {
  seed: number;
  /** Each way; more where the cuts need more. */
  messages: number;
  /** How often the proxy must have cut the stream. */
  cuts?: number;
  /** Milliseconds of silence after which it does. */
  cutAfter?: number;
}

export interface TrafficReport {
  up: WayReport;
  down: WayReport;
  /** What the client was told, beside messages, in order. */
  events: string[];
  /** Sessions that the server opened, and streams that continued one. */
  opened: number;
  resumed: number;
}

/** What one way did. */
export interface WayReport {
  sent: number;
  received: number;
  /** SHA-256 over all of it, in order, at either end. */
  sentHash: string;
  receivedHash: string;
}

/** Messages each way of which a burst consists, where a silence follows. */
const BURST = 2_000;
/** How far from the cut, in milliseconds, the next burst begins. */
const NEAR = 30;

/** Sends both ways through a proxy: at once, or in bursts that begin when it is about to cut. */
export async function runTraffic(
  startProxy: StartProxy,
  { seed, messages, cuts = 0, cutAfter = 0 }: TrafficOptions,
): Promise<TrafficReport> {
  const random = createRandom(seed);
  const { sse, url, close } = await openBehind<string>(startProxy);
  const up = new Way();
  const down = new Way();
  sse.on('connection', (connection) => {
    connection.on('message', (message) => up.received.add(message));
  });
  const { client, events } = openRecorded<string>(url);
  client.onmessage = ({ data }) => down.received.add(data);
  const state = () => JSON.stringify({ seed, up: up.report(), down: down.report(), events });

  try {
    await until(() => sse.connections.size === 1, 10_000, state);
    const [connection] = [...sse.connections];
    const countCuts = () => events.filter((event) => event === 'disconnect').length;
    do {
      for (let left = cuts ? BURST : messages; left > 0; left--) {
        const text = 'ü\r\n"😀"'.repeat(random.magnitude(1, 50));
        client.send(up.sent.add(`${up.sent.count} up ${text}`));
        connection!.send(down.sent.add(`${down.sent.count} down ${text}`));
      }
      await until(() => up.isComplete && down.isComplete, 30_000, state);
      if (cutAfter) await sleep(cutAfter + random.integer(-NEAR, NEAR));
    } while (up.sent.count < messages || countCuts() < cuts);
    await sleep(500); // what comes twice comes late
    const { opened, resumed } = sse.stats();
    return { up: up.report(), down: down.report(), events: [...events], opened, resumed };
  } finally {
    await end(client);
    await close();
  }
}

/** One direction's messages, at both ends. */
class Way {
  readonly sent = new Digest();
  readonly received = new Digest();

  get isComplete(): boolean {
    return this.received.count >= this.sent.count;
  }

  report(): WayReport {
    return {
      sent: this.sent.count,
      received: this.received.count,
      sentHash: this.sent.value,
      receivedHash: this.received.value,
    };
  }
}

/** Hashes what it is told, in the order in which it is told it. */
class Digest {
  count = 0;
  readonly #hash = createHash('sha256');

  get value(): string {
    return this.#hash.copy().digest('hex');
  }

  add(message: string): string {
    this.#hash.update(`${this.count++}:${message}\n`);
    return message;
  }
}

/** Says nothing through a proxy, but for heartbeats; returns what the client was told. */
export async function runSilence(
  startProxy: StartProxy,
  milliseconds: number,
  options: SseOptions = {},
): Promise<string[]> {
  const { url, close } = await openBehind(startProxy, options);
  const { client, events } = openRecorded(url);
  try {
    await until(() => events.length > 0);
    await sleep(milliseconds);
    return [...events];
  } finally {
    await end(client);
    await close();
  }
}

/** Milliseconds from a request for a stream to the application's first message on it, each time. */
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

/** A server, and a proxy ahead of it. */
async function openBehind<Message = unknown>(startProxy: StartProxy, options: SseOptions = {}) {
  const server = await openServer<Message, Message>(options);
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
  const types = ['open', 'error', 'disconnect', 'reconnect', 'reset', 'close'] as const;
  for (const type of types) client.addEventListener(type, () => events.push(type));
  return { client, events };
}

async function end(client: Pick<SseClient, 'close' | 'readyState'>): Promise<void> {
  client.close();
  await until(() => client.readyState === SseClient.CLOSED, 15_000);
}
