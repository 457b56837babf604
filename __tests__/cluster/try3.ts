import { setTimeout as sleep } from 'node:timers/promises';
import { RedisProcess } from './redis-process';
import { StallingProxy } from './stalling-proxy';
import { runClusterChaos } from './cluster-chaos';
(globalThis as any).afterEach ??= () => {};
void (async () => {
  const [up, down, only, seconds = '5', clients = '20'] = process.argv.slice(2);
  const redis = await RedisProcess.start();
  const proxies = [
    await StallingProxy.start(redis.port),
    await StallingProxy.start(redis.port),
    await StallingProxy.start(redis.port),
  ];
  const report = await runClusterChaos({
    sharedEvery: 20,
    seed: Number(process.env.SEED ?? 1),
    redisPort: redis.port,
    portOf: (n) => proxies[n]!.port,
    clients: Number(clients),
    interval: 100,
    library: (process.env.LIB ?? 'redis') as any,
    sse: { heartbeatInterval: 2000 },
    async faults() {
      await sleep(1000);
      for (let i = 0; i < 2; i++) {
        proxies[i]!.set({ up: up === '1', down: down === '1', onlySubscriptions: only === '1' });
        await sleep(Number(seconds) * 1000);
        proxies[i]!.set(undefined);
        await sleep(3000);
      }
    },
  });
  console.log(process.argv.slice(2).join(), JSON.stringify(report));
  await redis.remove();
  process.exit();
})();
