/**
 * The storage of a cluster, on Redis or Valkey: the value of the option `cluster`.
 *
 * @module sse-duplex/redis
 */
export { redisCluster } from './redis-cluster';
export type { RedisClusterOptions } from './redis-cluster';
export type {
  IoRedisClient,
  IoRedisSubscriber,
  NodeRedisClient,
  NodeRedisCluster,
  NodeRedisSentinel,
  NodeRedisSubscriber,
  RedisClient,
} from './redis-client';
