import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Redis } from 'ioredis';
import { createClient, createSentinel } from 'redis';
import { createSseMiddleware } from '../../../lib/index';
import type { SseOptions } from '../../../lib/index';
import { redisCluster } from '../../../lib/redis/index';
import type { RedisClusterOptions } from '../../../lib/redis/index';
import { link } from '../chain';
import type { Down, Up } from '../chain';
import { recordHandled } from '../database';

interface State {
  count: number;
  chain: string;
}

/**
 * A node of the cluster tests. It answers each message with a link of the chain that is in the state of its session.
 *
 * Arguments: the port of Redis, or those of its Sentinels, the library, options of the engine and of the middleware as JSON, and
 * optionally the file of a SQLite database in which the listener writes each message before it answers.
 */
async function main(): Promise<void> {
  const [redisPort, library, engineOptions, options, database] = process.argv.slice(2) as [
    string,
    string,
    string,
    string,
    string,
  ];
  const url = `redis://127.0.0.1:${redisPort}`;
  const connect = () => {
    if (library === 'ioredis') return new Redis(url, { maxRetriesPerRequest: null });
    if (library === 'redis') return createClient({ url, socket: { reconnectStrategy: 100 } });
    const sentinels = redisPort
      .split(',')
      .map((port) => ({ host: '127.0.0.1', port: Number(port) }));
    if (library === 'redis-sentinel') {
      return createSentinel({ name: 'main', sentinelRootNodes: sentinels });
    }
    return new Redis({ sentinels, name: 'main', maxRetriesPerRequest: null });
  };
  const client = connect();
  client.on('error', () => {});
  if (!(client instanceof Redis)) await client.connect();
  const cluster = redisCluster(client, JSON.parse(engineOptions) as RedisClusterOptions);
  const sse = createSseMiddleware<Up, Down>('/sse', {
    ...(JSON.parse(options) as SseOptions),
    cluster,
  });
  let closes = 0;
  let moved = 0;
  sse.on('connection', (connection) => {
    connection.join('all');
    connection.on('close', () => closes++);
    connection.on('moved', () => moved++);
    connection.on('message', ({ client: from, number, isShared }, { number: key }) => {
      if (database) recordHandled(database, connection.id, key, number);
      const { count, chain } = (connection.state ?? { count: 0, chain: '' }) as State;
      const state: State = { count: count + 1, chain: link(chain, number) };
      connection.state = state;
      if (isShared) sse.to('all').send({ type: 'shared', client: from, number });
      connection.send({ type: 'echo', number, ...state });
    });
  });
  const server = createServer((request, response) => {
    sse(request, response, () => response.writeHead(404).end());
  });
  server.listen(0, '127.0.0.1', () => process.send!((server.address() as AddressInfo).port));
  process.once('disconnect', () => process.exit());
  process.on('message', (message) => {
    if (message === 'stats') process.send!({ ...sse.stats(), closes, moved });
  });
  process.once('SIGTERM', () => {
    void sse.close().then(() => process.exit());
  });
}

void main();
