import { createClient } from 'redis';
import { Redis } from 'ioredis';
import { redisCluster } from '../../lib/redis/index';
import type { RedisClusterOptions } from '../../lib/redis/index';
import type { EngineSource } from './faulty-nodes';
import { onTestFinished } from './on-test-finished';
import { redisServer, startProgram } from './programs';
import type { Program } from './programs';

/** The client libraries that the tests use. */
export type RedisLibrary = 'redis' | 'ioredis';

/** Starts a Redis without files on a free port. */
export function startRedis(): Promise<Program> {
  return startProgram(redisServer(), (port) => [
    ...['--port', String(port), '--bind', '127.0.0.1', '--loglevel', 'warning'],
    ...['--save', '', '--appendonly', 'no'],
  ]);
}

/** Connects a client that is closed after the test. */
export async function connectRedis(library: RedisLibrary, port: number) {
  if (library === 'ioredis') {
    const client = new Redis(port, '127.0.0.1', { maxRetriesPerRequest: null });
    client.on('error', () => {});
    onTestFinished(() => client.disconnect());
    return client;
  }
  const client = createClient({ url: `redis://127.0.0.1:${port}` });
  client.on('error', () => {});
  await client.connect();
  onTestFinished(() => client.destroy());
  return client;
}

/** Creates engines on one Redis. */
export async function openRedis(
  library: RedisLibrary,
  port: number,
  options: RedisClusterOptions = {},
): Promise<EngineSource> {
  const client = await connectRedis(library, port);
  const admin = createClient({ url: `redis://127.0.0.1:${port}` });
  await admin.connect();
  onTestFinished(() => admin.destroy());
  await admin.flushAll();
  return {
    // Its subscriptions stay open: a killed process would close them.
    create: () => ({ engine: redisCluster(client, { lease: 3_000, ...options }), disconnect() {} }),
    async clear() {
      await admin.flushAll();
    },
    async trimBroadcasts() {
      await admin.xTrim('sse-duplex:1:{broadcasts}:log', 'MAXLEN', 0);
    },
    async countSessions() {
      const keys = await admin.keys('*{*}');
      return keys.filter((key) => !key.includes('{broadcasts}')).length;
    },
  };
}
