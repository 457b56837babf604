import { describeCluster } from '../helpers/cluster-suite';
import { openShards, startShards } from '../helpers/redis-cluster';
import type { Shards } from '../helpers/redis-cluster';

let shards: Shards;
beforeAll(async () => {
  shards = await startShards();
}, 30_000);
afterAll(() => shards.stop());

describeCluster('a Redis Cluster with three shards, with the client "ioredis",', () =>
  openShards(shards, 'ioredis'),
);

describeCluster('a Redis Cluster with three shards, with the client "redis",', () =>
  openShards(shards, 'redis'),
);
