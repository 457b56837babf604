import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { SseClient } from '../../lib/client/index';
import type { SseOptions } from '../../lib/index';
import type { RedisClusterOptions } from '../../lib/redis/index';
import { startBalancer } from '../helpers/cluster';
import { httpFetch } from '../helpers/http-fetch';
import { compileProcess } from '../helpers/processes';
import { createRandom } from '../helpers/random';
import type { Random } from '../helpers/random';
import type { RedisLibrary } from '../helpers/redis';
import { waitFor } from '../helpers/wait-for';
import { link } from './chain';
import type { Down, Up } from './chain';

/** What to do while clients send and receive. */
export interface ChaosOptions {
  seed: number;
  /** With Sentinels their ports, separated by commas. */
  redisPort: number | string;
  /** Ports of Redis as the nodes see it, if they are not to use the same. */
  portOf?: (node: number) => number;
  library?: RedisLibrary | 'sentinel' | 'redis-sentinel';
  /** Arguments of Node.js for a node. */
  execArgvOf?: (node: number) => string[];
  /** Receives all requests as long as it runs. By default each request is sent to a random node. */
  preferredNode?: number;
  /** The longest back-off of the clients in milliseconds. */
  maxBackoff?: number;
  nodes?: number;
  clients: number;
  /** Milliseconds between two messages of a client. */
  interval: number;
  /** Every how many messages one is sent to the room of all clients. 0: none. */
  sharedEvery?: number;
  engine?: RedisClusterOptions;
  sse?: SseOptions;
  /** File of a database in which the listeners of the nodes write each message. */
  database?: string;
  /** Injects the faults. The traffic ends afterwards. */
  faults: (cluster: ChaosCluster) => Promise<void>;
}

/** The nodes, for the faults. */
export interface ChaosCluster {
  random: Random;
  nodes: (ChildProcess | undefined)[];
  /** Kills a node and starts another one in its place after a delay. */
  replace(node: number, delay: number): Promise<void>;
  /** Asks a node to shut down, and starts another one in its place. */
  restart(node: number): Promise<void>;
}

export interface ChaosReport {
  seed: number;
  sent: number;
  echoes: number;
  shared: number;
  /** Descriptions of everything that is wrong. */
  violations: string[];
  /** Sessions that ended. */
  sessionsLost: number;
  /** Streams that were lost, and the milliseconds until they were back. */
  away: { count: number; p50: number; p95: number; max: number };
  /** When streams were lost, in milliseconds on the monotonic clock, in order. */
  lostAt: number[];
}

interface TestClient {
  client: SseClient<Down, Up>;
  sent: number;
  echoes: number;
  chain: string;
  /** Number of the last shared message, by its sender. */
  shared: Map<number, number>;
}

const MAX_VIOLATIONS = 20;

/** Runs clients against nodes that fail, and compares what both sides have received. */
export async function runClusterChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { seed, clients: count, nodes: nodeCount = 3, sharedEvery = 20 } = options;
  const random = createRandom(seed);
  const violations: string[] = [];
  const violate = (text: string) => {
    if (violations.length < MAX_VIOLATIONS) violations.push(text);
  };
  const isShared = (number: number) => sharedEvery > 0 && number % sharedEvery === 0;
  const nodes: (ChildProcess | undefined)[] = [];
  const ports: (number | undefined)[] = [];
  const compiled = compileProcess('__tests__/cluster/processes/node.ts');
  const start = async (node: number) => {
    const args = [
      options.portOf?.(node) ?? options.redisPort,
      options.library ?? 'redis',
      JSON.stringify(options.engine ?? {}),
      JSON.stringify(options.sse ?? {}),
      options.database ?? '',
    ];
    const { process: child, ready } = await compiled.start(args, options.execArgvOf?.(node));
    nodes[node] = child;
    ports[node] = ready as number;
  };
  for (let node = 0; node < nodeCount; node++) await start(node);
  const balancer = await startBalancer(() => {
    const alive = ports.filter((port) => port !== undefined);
    const preferred =
      options.preferredNode === undefined ? undefined : ports[options.preferredNode];
    if (preferred !== undefined) return preferred;
    return alive.length === 0 ? 1 : random.pick(alive);
  });

  const agent = new Agent({ keepAlive: true });
  const away: number[] = [];
  const allLostAt: number[] = [];
  let sessionsLost = 0;
  const testClients = Array.from({ length: count }, (_, index): TestClient => {
    const client = new SseClient<Down, Up>(balancer.url, {
      // With fetch, some of many requests to one server at a time wait for a second.
      fetch: (url, init) => httpFetch(url, init, { agent }),
      backoff: (attempt) => Math.min(options.maxBackoff ?? 500, 10 * 2 ** attempt),
    });
    const state: TestClient = { client, sent: 0, echoes: 0, chain: '', shared: new Map() };
    let lostAt = 0;
    client.onerror = () => {}; // the faults are expected
    client.ondisconnect = () => allLostAt.push((lostAt = performance.now()));
    client.onreconnect = () => away.push(performance.now() - lostAt);
    client.onsessionlost = ({ reason }) => {
      sessionsLost++;
      violate(`client ${index}: session lost: ${reason}`);
    };
    client.onclose = ({ code, reason }) => {
      if (code !== 1000) violate(`client ${index}: closed: ${code} ${reason}`);
    };
    client.onmessage = ({ data }) => receive(state, index, data);
    return state;
  });

  function receive(state: TestClient, index: number, data: Down): void {
    if (data.type === 'echo') {
      const expected = state.echoes++;
      state.chain = link(state.chain, expected);
      if (data.number !== expected || data.count !== expected + 1 || data.chain !== state.chain) {
        violate(`client ${index}: expected echo ${expected}, received ${JSON.stringify(data)}`);
        state.echoes = data.number + 1;
        state.chain = data.chain;
      }
      return;
    }
    const last = state.shared.get(data.client);
    // If the listener that sent it runs again, at another node, it is sent again.
    const isRepeated = last !== undefined && data.number <= last;
    const isNext = last === undefined || data.number === last + sharedEvery;
    if (!isNext && !isRepeated)
      violate(`client ${index}: after shared ${last}: ${JSON.stringify(data)}`);
    state.shared.set(data.client, Math.max(data.number, last ?? 0));
  }

  await waitFor(
    () => testClients.every(({ client }) => client.readyState === SseClient.OPEN),
    30_000,
  );
  const stop = new AbortController();
  const sending = testClients.map(async (state, index) => {
    await sleep(random.integer(0, options.interval));
    while (!stop.signal.aborted && state.client.readyState !== SseClient.CLOSED) {
      const number = state.sent++;
      state.client.send({ client: index, number, isShared: isShared(number) });
      await sleep(options.interval);
    }
  });
  const cluster: ChaosCluster = {
    random,
    nodes,
    async replace(node, delay) {
      ports[node] = undefined;
      const child = nodes[node];
      nodes[node] = undefined;
      child?.kill('SIGKILL');
      if (child) await once(child, 'exit');
      await sleep(delay);
      await start(node);
    },
    async restart(node) {
      const child = nodes[node];
      ports[node] = undefined;
      child?.kill('SIGTERM');
      if (child) await once(child, 'exit');
      await start(node);
    },
  };
  try {
    await options.faults(cluster);
    stop.abort();
    await Promise.all(sending);
    const isComplete = ({ sent, echoes }: TestClient) => echoes >= sent;
    await waitFor(() => testClients.every(isComplete), 60_000).catch(() => {
      testClients.forEach((state, index) => {
        if (!isComplete(state)) violate(`client ${index}: ${state.echoes} of ${state.sent} echoes`);
      });
    });
    const lastShared = (sharedEvery === 0 ? [] : testClients).map(
      ({ sent }) => sent - 1 - ((sent - 1) % sharedEvery),
    );
    const hasShared = ({ shared }: TestClient) =>
      lastShared.every((number, index) => shared.get(index) === number);
    await waitFor(() => testClients.every(hasShared), 20_000).catch(() => {
      testClients.forEach((state, index) => {
        const missing = lastShared.filter((number, from) => state.shared.get(from) !== number);
        if (missing.length > 0)
          violate(`client ${index}: ${missing.length} last shared are missing`);
      });
    });
  } finally {
    stop.abort();
    for (const { client } of testClients) client.close();
    await sleep(300);
    for (const child of nodes) child?.kill('SIGKILL');
    compiled.remove();
    agent.destroy();
    await balancer.stop();
  }
  away.sort((a, b) => a - b);
  const quantile = (q: number) => Math.round(away[Math.floor(q * (away.length - 1))] ?? 0);
  const sum = (of: (state: TestClient) => number) =>
    testClients.reduce((total, state) => total + of(state), 0);
  return {
    seed,
    sent: sum(({ sent }) => sent),
    echoes: sum(({ echoes }) => echoes),
    shared: sum(({ shared }) => shared.size),
    violations,
    sessionsLost,
    away: { count: away.length, p50: quantile(0.5), p95: quantile(0.95), max: quantile(1) },
    lostAt: allLostAt,
  };
}
