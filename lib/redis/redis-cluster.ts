import type { ClusterEngine } from '../server/cluster-engine';
import { isRedisClient } from './redis-client';
import type { RedisClient } from './redis-client';
import { RedisEngine } from './redis-engine';

/** Options of {@link redisCluster}. */
export interface RedisClusterOptions {
  /**
   * First part of the names of all keys and channels. Middlewares with the same prefix share their sessions, so use
   * one prefix for each path. Range: 1 to 100 characters without braces.
   * @default 'sse-duplex'
   */
  prefix?: string;

  /**
   * Time in milliseconds without contact to the engine, after which other nodes adopt the sessions of a node.
   * Range: 3,000 to 600,000 ms.
   * @default 15_000
   */
  lease?: number;

  /**
   * Time in milliseconds after which a command counts as failed and is repeated.
   * Range: 100 to 60,000 ms.
   * @default 2_000
   */
  commandTimeout?: number;

  /**
   * Number of broadcasts that the engine keeps for sessions that are being taken over, and for nodes that were
   * suspended. A session that needs older ones is closed with code 1011. Range: 1,000 to 10,000,000.
   * @default 65_536
   */
  retainedBroadcasts?: number;
}

/** Validated options. */
export type ResolvedRedisOptions = Required<RedisClusterOptions>;

const NUMERIC_OPTIONS = {
  lease: { default: 15_000, min: 3_000, max: 600_000 },
  commandTimeout: { default: 2_000, min: 100, max: 60_000 },
  retainedBroadcasts: { default: 65_536, min: 1_000, max: 10_000_000 },
} as const;

/**
 * Creates an engine for the option `cluster` of `createSseMiddleware`, on Redis 6.0 or later or Valkey.
 *
 * @param client of `redis`, `ioredis` or `iovalkey`, connected by the application, for one server, for a Redis Cluster
 * or for Sentinels. If it has no connection for subscriptions, a duplicate of it is created for them.
 * @throws TypeError if the client is not one of these, or if an option is unknown or has the wrong type.
 * @throws RangeError if an option is out of range.
 */
export function redisCluster(
  client: RedisClient,
  options: RedisClusterOptions = {},
): ClusterEngine {
  if (!isRedisClient(client)) {
    throw new TypeError(
      'redisCluster() needs a client of "redis", "ioredis" or "iovalkey", such as createClient(): ' +
        'the argument has no duplicate() and no sendCommand() or call()',
    );
  }
  const known = ['prefix', ...Object.keys(NUMERIC_OPTIONS)];
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new TypeError(`unknown option "${unknown}": the options are ${known.join(', ')}`);
  }
  const { prefix = 'sse-duplex' } = options;
  if (typeof prefix !== 'string' || !/^[^{}]{1,100}$/.test(prefix)) {
    throw new TypeError('option "prefix" must be a string of 1 to 100 characters without braces');
  }
  return new RedisEngine(client, {
    prefix,
    lease: resolveNumber('lease', options),
    commandTimeout: resolveNumber('commandTimeout', options),
    retainedBroadcasts: resolveNumber('retainedBroadcasts', options),
  });
}

function resolveNumber(
  name: keyof typeof NUMERIC_OPTIONS,
  options: Partial<Record<keyof typeof NUMERIC_OPTIONS, unknown>>,
): number {
  const { default: defaultValue, min, max } = NUMERIC_OPTIONS[name];
  const value = options[name] ?? defaultValue;
  if (typeof value !== 'number') {
    throw new TypeError(`option "${name}" must be a number, not ${typeof value}`);
  }
  if (!(value >= min && value <= max)) {
    throw new RangeError(`option "${name}" must be from ${min} to ${max}, not ${value}`);
  }
  return value;
}
