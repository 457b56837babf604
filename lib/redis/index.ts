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
