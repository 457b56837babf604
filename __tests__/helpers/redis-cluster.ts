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
  ports: number[];
  stop(): Promise<void>;
}

/** Starts a Redis Cluster of three masters without replicas. */
export async function startShards(): Promise<Shards> {
  const path = redisServer();
  const folder = mkdtempSync(join(tmpdir(), 'sse-duplex-redis-cluster-'));
  const servers: Program[] = [];
  for (let shard = 0; shard < SHARDS; shard++) {
    const busPort = await findPort();
    const server = await startProgram(path, (port) => [
      ...['--port', String(port), '--bind', '127.0.0.1', '--loglevel', 'warning'],
      ...['--save', '', '--appendonly', 'no', '--dir', folder],
      ...['--cluster-enabled', 'yes', '--cluster-config-file', `nodes-${port}.conf`],
      ...['--cluster-port', String(busPort)],
    ]);
    servers.push(server);
  }
  const ports = servers.map(({ port }) => port);
  const addresses = ports.map((port) => `127.0.0.1:${port}`);
  await run('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-yes']);
  // Not with a client: one that is closed while it reads the slots leaves a rejection that nobody handles.
  for (const port of ports) while (!(await isReady(port))) await sleep(20);
  return {
    ports,
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

/** Connects a client, and waits until it knows all shards. */
async function connectShards(ports: number[]): Promise<Cluster> {
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
async function connectNodeRedis(ports: number[]) {
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
