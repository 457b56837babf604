import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Cluster } from 'ioredis';
import { createCluster } from 'redis';
import { redisCluster } from '../../lib/redis/index';
import type { EngineSource } from './faulty-nodes';
import { onTestFinished } from './on-test-finished';
import { findPort, redisServer, startProgram } from './programs';
import type { Program } from './programs';
import type { RedisLibrary } from './redis';
import { waitFor } from './wait-for';

const run = promisify(execFile);
const SHARDS = 3;

/** The servers of a Redis Cluster. */
export interface Shards {
  /** The ports of the masters, then those of the replicas. */
  ports: number[];
  /** Kills a server. */
  kill(port: number): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a Redis Cluster of three masters with the same number of replicas each. */
export async function startShards(replicas = 0): Promise<Shards> {
  const path = redisServer();
  const folder = mkdtempSync(join(tmpdir(), 'sse-duplex-redis-cluster-'));
  const servers: Program[] = [];
  for (let i = 0; i < SHARDS * (1 + replicas); i++) {
    const busPort = await findPort();
    const server = await startProgram(path, (port) => [
      ...['--port', String(port), '--bind', '127.0.0.1', '--loglevel', 'warning'],
      ...['--save', '', '--appendonly', 'no', '--dir', folder],
      ...['--cluster-enabled', 'yes', '--cluster-config-file', `nodes-${port}.conf`],
      ...['--cluster-port', String(busPort), '--cluster-node-timeout', '1000'],
      ...['--repl-diskless-sync-delay', '0'],
    ]);
    servers.push(server);
  }
  const ports = servers.map(({ port }) => port);
  const addresses = ports.map((port) => `127.0.0.1:${port}`);
  const create = ['--cluster', 'create', ...addresses, '--cluster-yes'];
  await run('redis-cli', [...create, '--cluster-replicas', String(replicas)]);
  // Not with a client: one that is closed while it reads the slots leaves a rejection that nobody handles.
  for (const port of ports) while (!(await isReady(port))) await sleep(20);
  for (const port of ports.slice(SHARDS)) while (!(await isReplicating(port))) await sleep(20);
  return {
    ports,
    kill: (port) => servers.find((server) => server.port === port)!.stop('SIGKILL'),
    async stop() {
      for (const server of servers) await server.stop();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Whether a server knows that all slots have a master. */
async function isReady(port: number): Promise<boolean> {
  const { stdout } = await run('redis-cli', ['-p', String(port), 'cluster', 'info']);
  return stdout.includes('cluster_state:ok') && stdout.includes(`cluster_size:${SHARDS}`);
}

async function isReplicating(port: number): Promise<boolean> {
  const { stdout } = await run('redis-cli', ['-p', String(port), 'info', 'replication']);
  return stdout.includes('master_link_status:up');
}

/** Returns the ports of the servers at which a channel has subscribers. */
export async function findSubscribed(ports: number[], channel: string): Promise<number[]> {
  const replies = ports.map((port) =>
    run('redis-cli', ['-p', String(port), 'pubsub', 'numsub', channel]),
  );
  const counts = await Promise.all(replies);
  return ports.filter((_, index) => counts[index]!.stdout.trim().endsWith('1'));
}

/** Connects a client, and waits until it knows all shards. */
export async function connectShards(ports: number[]): Promise<Cluster> {
  const cluster = new Cluster(
    ports.map((port) => ({ host: '127.0.0.1', port })),
    { redisOptions: { maxRetriesPerRequest: null } },
  );
  cluster.on('error', () => {});
  await once(cluster, 'ready');
  await waitFor(() => cluster.nodes('master').length === SHARDS);
  return cluster;
}

/** Connects a client of node-redis. */
export async function connectNodeRedis(ports: number[]) {
  const client = createCluster({
    rootNodes: ports.map((port) => ({ url: `redis://127.0.0.1:${port}` })),
  });
  client.on('error', () => {});
  await client.connect();
  onTestFinished(() => client.destroy());
  return client;
}

/** Creates engines on one Redis Cluster. */
export async function openShards({ ports }: Shards, library: RedisLibrary): Promise<EngineSource> {
  const admin = await connectShards(ports);
  onTestFinished(() => admin.disconnect());
  const client = library === 'redis' ? await connectNodeRedis(ports) : admin;
  const clear = () => Promise.all(admin.nodes('master').map((node) => node.flushall()));
  await clear();
  return {
    create: () => ({ engine: redisCluster(client, { lease: 3_000 }), disconnect() {} }),
    async clear() {
      await clear();
    },
    async trimBroadcasts() {
      await admin.xtrim('sse-duplex:1:{broadcasts}:log', 'MAXLEN', 0);
    },
    async countSessions() {
      const keys = await Promise.all(admin.nodes('master').map((node) => node.keys('*{*}')));
      return keys.flat().filter((key) => !key.includes('{broadcasts}')).length;
    },
  };
}
