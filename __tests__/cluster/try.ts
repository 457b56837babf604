import { setTimeout as sleep } from 'node:timers/promises';
import { startRedis } from '../helpers/redis';
import { runClusterChaos } from './cluster-chaos';
(globalThis as any).afterEach ??= () => {};
void (async () => {
  const redis = await startRedis();
  const [clients = 50, interval = 100, kills = 10, delay = 300] = process.argv.slice(2).map(Number);
  const report = await runClusterChaos({
    sharedEvery: Number(process.env.EVERY ?? 20),
    seed: Number(process.env.SEED ?? 1),
    redisPort: redis.port,
    clients,
    interval,
    library: (process.env.LIB ?? 'redis') as any,
    async faults(cluster) {
      await sleep(500);
      for (let i = 0; i < kills; i++) {
        await cluster.replace(i % 3, delay);
        await sleep(cluster.random.integer(1500, 2500));
      }
    },
  });
  console.log(JSON.stringify(report, null, 1));
  await redis.stop();
  process.exit();
})();
