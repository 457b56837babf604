import { describeCluster } from '../helpers/cluster-suite';
import type { Program } from '../helpers/programs';
import { openRedis, startRedis } from '../helpers/redis';

let redis: Program;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

describeCluster('Redis, with the client "redis",', () => openRedis('redis', redis.port));
describeCluster('Redis, with the client "ioredis",', () => openRedis('ioredis', redis.port));
