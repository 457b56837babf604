import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'redis';
import { onTestFinished } from '../helpers/on-test-finished';
import { seeds } from '../helpers/random';
import { runClusterChaos } from './cluster-chaos';
import type { ChaosCluster, ChaosOptions, ChaosReport } from './cluster-chaos';
import { createDatabase } from './database';
import { RedisProcess } from './redis-process';
import { SentinelGroup } from './sentinel';
import { StallingProxy } from './stalling-proxy';
import type { Partition } from './stalling-proxy';

// `npm run soak cluster` runs the long versions.

/** Runs 12 clients while `faults` happens, and expects that nothing is lost, doubled or reordered. */
async function expectNoViolations(
  redisPort: number | string,
  faults: (cluster: ChaosCluster) => Promise<void>,
  options: Partial<ChaosOptions> = {},
): Promise<ChaosReport> {
  const [seed] = seeds(1) as [number];
  const report = await runClusterChaos({
    seed,
    redisPort,
    clients: 12,
    interval: 50,
    sharedEvery: 20,
    sse: { heartbeatInterval: 2_000 },
    ...options,
    async faults(cluster) {
      await sleep(300);
      await faults(cluster);
      await sleep(300);
    },
  });
  const { sent, echoes, violations, sessionsLost } = report;
  expect({ seed, violations, sessionsLost }).toEqual({ seed, violations: [], sessionsLost: 0 });
  expect(sent).toBeGreaterThan(0);
  expect(echoes).toBe(sent);
  return report;
}

async function startRedis(args: string[] = []): Promise<RedisProcess> {
  const redis = await RedisProcess.start(args);
  onTestFinished(() => redis.remove());
  return redis;
}

async function connectAdmin(port: number) {
  const admin = createClient({ url: `redis://127.0.0.1:${port}` });
  admin.on('error', () => {});
  await admin.connect();
  onTestFinished(() => admin.destroy());
  return admin;
}

describe('No message is lost, doubled or reordered, and no session is lost,', () => {
  it.each(['redis', 'ioredis'] as const)(
    'when each node is killed during traffic (client "%s")',
    async (library) => {
      const redis = await startRedis();
      const kill = async (cluster: ChaosCluster) => {
        for (let node = 0; node < 3; node++) {
          await cluster.replace(node, 100);
          await sleep(cluster.random.integer(100, 500));
        }
      };
      await expectNoViolations(redis.port, kill, { library });
    },
    60_000,
  );

  it('when listeners write to a database with (session id, number) as key, and the nodes are killed', async () => {
    const redis = await startRedis();
    const database = createDatabase();
    onTestFinished(() => database.remove());
    const kill = async (cluster: ChaosCluster) => {
      for (let node = 0; node < 3; node++) {
        await cluster.replace(node, 100);
        await sleep(cluster.random.integer(100, 500));
      }
    };
    const options = { interval: 300, database: database.file };
    const { sent } = await expectNoViolations(redis.port, kill, options);
    expect(database.read()).toMatchObject({ rows: sent, complete: 12 });
  }, 60_000);

  it.each([
    ['ioredis', 'sentinel'],
    ['redis', 'redis-sentinel'],
  ] as const)(
    'when Sentinel promotes a replica that lacks the last writes, with the client "%s"',
    async (_, library) => {
      const group = await SentinelGroup.start();
      onTestFinished(() => group.stop());
      let lostBytes = 0;
      const failOver = async () => {
        lostBytes = await group.failOver(300);
      };
      await expectNoViolations(group.ports, failOver, { library });
      expect(lostBytes).toBeGreaterThan(1_000);
    },
    60_000,
  );

  it('when each node is shut down and started again', async () => {
    const redis = await startRedis();
    await expectNoViolations(redis.port, async (cluster) => {
      for (let node = 0; node < 3; node++) await cluster.restart(node);
    });
  }, 60_000);

  it('when a node is suspended', async () => {
    const redis = await startRedis();
    await expectNoViolations(redis.port, async ({ nodes: [first] }) => {
      first?.kill('SIGSTOP');
      await sleep(6_000); // longer than clients wait for a heartbeat
      first?.kill('SIGCONT');
    });
  }, 60_000);

  it.each([
    ['without its data', []],
    ['with its data', ['--appendonly', 'yes', '--appendfsync', 'always']],
  ])(
    'when Redis is killed and started again %s',
    async (_, args) => {
      const redis = await startRedis(args);
      await expectNoViolations(redis.port, async ({ random }) => {
        for (let i = 0; i < 2; i++) {
          await redis.kill();
          await sleep(random.integer(0, 500));
          await redis.start();
          await sleep(1_500);
        }
      });
    },
    60_000,
  );

  it('when Redis loses its scripts, and then all data', async () => {
    const redis = await startRedis();
    const admin = await connectAdmin(redis.port);
    await expectNoViolations(redis.port, async () => {
      await admin.scriptFlush();
      await sleep(500);
      for (let i = 0; i < 3; i++) {
        await admin.flushAll();
        await sleep(1_500);
      }
    });
  }, 60_000);

  it('when Redis does not answer for 5 s', async () => {
    const redis = await startRedis();
    const admin = await connectAdmin(redis.port);
    await expectNoViolations(redis.port, async () => {
      await admin.sendCommand(['CLIENT', 'PAUSE', '5000']);
      await sleep(5_500);
    });
  }, 60_000);

  it.each<[string, Partition]>([
    ['in both directions', { up: true, down: true, onlySubscriptions: false }],
    ['towards Redis', { up: true, down: false, onlySubscriptions: false }],
    ['from Redis', { up: false, down: true, onlySubscriptions: false }],
    ['of its subscriptions', { up: true, down: true, onlySubscriptions: true }],
  ])(
    'when a node loses the connection to Redis %s for 5 s',
    async (_, partition) => {
      const redis = await startRedis();
      const proxy = await StallingProxy.start(redis.port);
      onTestFinished(() => proxy.stop());
      const interrupt = async () => {
        proxy.set(partition);
        await sleep(5_000);
        proxy.set(undefined);
        await sleep(500);
      };
      const portOf = (node: number) => (node === 0 ? proxy.port : redis.port);
      await expectNoViolations(redis.port, interrupt, { portOf });
    },
    60_000,
  );
});
