import { describeDartCluster } from '../helpers/cluster-dart-suite';
import { describeCluster } from '../helpers/cluster-suite';
import { openShards, startShards } from '../helpers/redis-cluster';
import type { Shards } from '../helpers/redis-cluster';

let shards: Shards;
beforeAll(async () => {
  shards = await startShards();
}, 30_000);
afterAll(() => shards.stop());

describe.each(['ioredis', 'redis'] as const)('With the client "%s"', (library) => {
  describeCluster('a Redis Cluster with three shards', () => openShards(shards, library));
});

describeDartCluster('a Redis Cluster with three shards', () => openShards(shards, 'redis'));
