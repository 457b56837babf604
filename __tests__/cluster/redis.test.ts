import { describeDartCluster } from '../helpers/cluster-dart-suite';
import { describeCluster } from '../helpers/cluster-suite';
import type { Program } from '../helpers/programs';
import { openRedis, startRedis } from '../helpers/redis';

let redis: Program;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

describe.each(['redis', 'ioredis'] as const)('With the client "%s"', (library) => {
  const openSource = () => openRedis(library, redis.port);
  describeCluster('Redis', openSource);
  describeDartCluster('Redis', openSource);
});
