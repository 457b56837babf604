export { redisCluster } from './redis-cluster';
export type { RedisClusterOptions } from './redis-cluster';
export type {
  IoRedisClient,
  IoRedisSubscriber,
  NodeRedisClient,
  NodeRedisSubscriber,
  RedisClient,
} from './redis-client';
