import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'redis';
import { RedisProcess } from './redis-process';
import { runClusterChaos } from './cluster-chaos';
(globalThis as any).afterEach ??= () => {};
void (async () => {
  const [what = '', rounds = '3', clients = '20', interval = '50'] = process.argv.slice(2);
  const redis = await RedisProcess.start(
    what === 'aof' ? ['--appendonly', 'yes', '--appendfsync', 'always'] : [],
  );
  const report = await runClusterChaos({
    sharedEvery: 20,
    seed: Number(process.env.SEED ?? 1),
    redisPort: redis.port,
    clients: Number(clients),
    interval: Number(interval),
    library: (process.env.LIB ?? 'redis') as any,
    sse: { heartbeatInterval: 2000 },
    async faults(cluster) {
      const admin = createClient({
        url: `redis://127.0.0.1:${redis.port}`,
        socket: { reconnectStrategy: 50 },
      });
      admin.on('error', () => {});
      await admin.connect();
      await sleep(1000);
      for (let i = 0; i < Number(rounds); i++) {
        if (what === 'empty' || what === 'aof') {
          await redis.kill();
          await sleep(cluster.random.integer(0, 1500));
          await redis.start();
        }
        if (what === 'flush') await admin.flushAll();
        if (what === 'scriptflush') await admin.scriptFlush();
        if (what === 'pause') await admin.sendCommand(['CLIENT', 'PAUSE', '5000']);
        if (what === 'stopnode') {
          const n = cluster.nodes[i % 3]!;
          n.kill('SIGSTOP');
          await sleep(5000);
          n.kill('SIGCONT');
        }
        if (what === 'both') {
          await redis.kill();
          const done = cluster.replace(i % 3, 100);
          await redis.start();
          await done;
        }
        await sleep(cluster.random.integer(1500, 2500) + (what === 'pause' ? 5000 : 0));
      }
      admin.destroy();
    },
  });
  console.log(what, JSON.stringify(report, null, 1));
  await redis.remove();
  process.exit();
})();
