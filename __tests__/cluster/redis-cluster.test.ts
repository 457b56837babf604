import { setTimeout as sleep } from 'node:timers/promises';
import { redisCluster } from '../../lib/redis/index';
import { describeDartCluster } from '../helpers/cluster-dart-suite';
import { describeCluster } from '../helpers/cluster-suite';
import { onTestFinished } from '../helpers/on-test-finished';
import {
  connectNodeRedis,
  connectShards,
  findSubscribed,
  openShards,
  startShards,
} from '../helpers/redis-cluster';
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

describe.each(['redis', 'ioredis'] as const)('With the client "%s"', (library) => {
  describe('the engine on a Redis Cluster with replicas', () => {
    let replicated: Shards;
    beforeAll(async () => {
      replicated = await startShards(1);
    }, 30_000);
    afterAll(() => replicated.stop());

    it('reaches all sessions and receives notifications again after a master is killed', async () => {
      const { ports } = replicated;
      const masters = ports.slice(0, 3);
      const client =
        library === 'redis' ? await connectNodeRedis(ports) : await connectShards(ports);
      if ('call' in client) onTestFinished(() => client.disconnect());
      const engine = redisCluster(client, { commandTimeout: 500 });
      onTestFinished(() => engine.stop());
      let notifications = 0;
      await engine.start('n1', { onBroadcast() {}, onNotification: () => notifications++ });
      const ids = Array.from({ length: 12 }, (_, index) => `s${index}`); // in the slots of all masters
      const session = { position: 0, firstNumber: 0, subprotocol: '', tokenHash: 'T' } as const;
      for (const id of ids) {
        await engine.open(id, { ...session, dialect: 'duplex', principal: undefined });
      }
      const [subscribed] = await findSubscribed(masters, 'sse-duplex:1:node:n1'); // ioredis may use a replica
      await replicated.kill(subscribed ?? masters[0]!);

      const finished = new AbortController();
      onTestFinished(() => finished.abort());
      const find = (id: string) => engine.find(id).catch(() => undefined);
      const findAll = async () => (await Promise.all(ids.map(find))).every((found) => found);
      while (!(await findAll())) await sleep(100, undefined, finished);
      notifications = 0;
      while (notifications === 0) {
        await engine.notify('n1', { type: 'recorded', id: 's0' }).catch(() => {});
        await sleep(100, undefined, finished);
      }
    }, 20_000);
  });
});
