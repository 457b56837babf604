import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { seeds } from '../helpers/random';
import type { Result } from '../delivery/soak-result';
import { runClusterChaos } from './cluster-chaos';
import type { ChaosCluster, ChaosOptions, ChaosReport } from './cluster-chaos';
import { createDatabase } from './database';
import { RedisProcess } from './redis-process';
import { SentinelGroup } from './sentinel';
import { shiftClock } from './shift-clock';
import { StallingProxy } from './stalling-proxy';

/** The options of a soak, without what all soaks have in common. */
type SoakOptions = Partial<ChaosOptions> & Pick<ChaosOptions, 'clients' | 'interval' | 'faults'>;

/** The long versions of the tests of several nodes, each with nodes in processes of their own. */
export const clusterSoaks: Record<string, () => AsyncGenerator<Result>> = {
  async *'cluster-kills'() {
    const report = await runOnRedis({
      clients: 200,
      interval: 1_000,
      sharedEvery: 100,
      async faults(cluster) {
        for (let kill = 0; kill < 60; kill++) {
          await cluster.replace(kill % 3, 300);
          await sleep(cluster.random.integer(1_000, 2_000));
        }
      },
    });
    yield judge('each of 3 nodes killed 20 times', report);
    yield ['95 % of the streams are back within 1 s', report.away.p95 < 1_000, report.away];
  },

  async *'cluster-return'() {
    const report = await runOnRedis({
      clients: 1_000,
      interval: 10_000,
      sharedEvery: 0,
      preferredNode: 0,
      async faults(cluster) {
        await sleep(2_000);
        await cluster.replace(0, 10_000);
      },
    });
    yield judge('a node with 1,000 sessions killed', report);
    const { away } = report;
    yield ['all are back within 3 s', away.count >= 1_000 && away.max < 3_000, away];
  },

  async *'cluster-deploy'() {
    const reconnectJitter = 5_000;
    const restartedAt: number[] = [];
    const report = await runOnRedis({
      clients: 1_000,
      interval: 10_000,
      sharedEvery: 0,
      sse: { reconnectJitter },
      async faults(cluster) {
        for (let node = 0; node < 3; node++) {
          restartedAt.push(performance.now());
          await cluster.restart(node);
          await sleep(reconnectJitter + 1_000);
        }
      },
    });
    yield judge('each of 3 nodes shut down and started again', report);
    yield ['95 % of the streams are back within 1 s', report.away.p95 < 1_000, report.away];
    for (const start of restartedAt) {
      const tenths = new Array<number>(10).fill(0);
      for (const time of report.lostAt) {
        const tenth = Math.floor(((time - start) / reconnectJitter) * 10);
        if (tenth in tenths) tenths[tenth]!++;
      }
      const total = tenths.reduce((sum, count) => sum + count);
      const isSpread = total > 100 && Math.max(...tenths) < total / 5;
      yield [
        'the streams end over all of reconnectJitter, under 20 % of them in a tenth',
        isSpread,
        { tenths },
      ];
    }
  },

  async *'cluster-suspend'() {
    let moved = 0;
    const report = await runOnRedis({
      clients: 100,
      interval: 500,
      sse: { heartbeatInterval: 2_000 },
      async faults({ nodes: [first] }: ChaosCluster) {
        await sleep(1_000);
        first!.kill('SIGSTOP');
        await sleep(20_000);
        first!.kill('SIGCONT');
        await sleep(5_000);
        first!.send('stats');
        [{ moved }] = (await once(first!, 'message')) as [{ moved: number }];
      },
    });
    yield judge('a node suspended for 20 s', report);
    yield ['the node has lost its sessions: its late commits are refused', moved > 0, { moved }];
  },

  async *'cluster-database'() {
    const database = createDatabase();
    const report = await runOnRedis({
      clients: 20,
      interval: 500,
      database: database.file,
      async faults(cluster) {
        for (let kill = 0; kill < 50; kill++) {
          await cluster.replace(kill % 3, 100);
          await sleep(cluster.random.integer(100, 600));
        }
      },
    });
    const rows = database.read();
    database.remove();
    yield judge('a node killed 50 times while its listeners write to SQLite', report);
    const isMet = rows.rows === report.sent && rows.complete === 20 && rows.repeated > 0;
    yield ['each message is in one row, also those that were redelivered', isMet, rows];
  },

  async *'cluster-clocks'() {
    const report = await runOnRedis({
      clients: 50,
      interval: 500,
      execArgvOf: (node) => (node === 2 ? [] : shiftClock(node === 0 ? 3_600_000 : -3_600_000)),
      async faults(cluster) {
        for (let kill = 0; kill < 6; kill++) {
          await cluster.replace(kill % 3, 300);
          await sleep(1_500);
        }
      },
    });
    yield judge('the clock of one node an hour ahead, of another one an hour behind', report);
  },

  async *'cluster-partition'() {
    for (const seconds of [12, 30]) {
      const redis = await RedisProcess.start();
      const proxy = await StallingProxy.start(redis.port);
      const { port } = proxy;
      const report = await run({
        redisPort: redis.port,
        portOf: (node) => (node === 0 ? port : redis.port),
        clients: 50,
        interval: 500,
        sse: { heartbeatInterval: 2_000 },
        async faults() {
          await sleep(1_000);
          proxy.set({ up: true, down: true, onlySubscriptions: false });
          await sleep(seconds * 1_000);
          proxy.set(undefined);
          await sleep(3_000);
        },
      });
      proxy.stop();
      await redis.remove();
      yield judge(`a node without the engine for ${seconds} s`, report);
    }
  },

  async *'cluster-sentinel'() {
    for (const behind of [100, 500, 2_000]) {
      const group = await SentinelGroup.start();
      let lostBytes = 0;
      const report = await run({
        redisPort: group.ports,
        library: 'sentinel',
        clients: 50,
        interval: 200,
        async faults() {
          await sleep(1_000);
          lostBytes = await group.failOver(behind);
          await sleep(5_000);
        },
      });
      await group.stop();
      const what = `a replica that lacks ${lostBytes} bytes of ${behind} ms promoted by Sentinel`;
      yield judge(what, report);
    }
  },
};

async function runOnRedis(options: SoakOptions): Promise<ChaosReport> {
  const redis = await RedisProcess.start();
  try {
    return await run({ ...options, redisPort: redis.port });
  } finally {
    await redis.remove();
  }
}

function run(options: SoakOptions & Pick<ChaosOptions, 'redisPort'>): Promise<ChaosReport> {
  const [seed] = seeds(1) as [number];
  return runClusterChaos({ seed, ...options });
}

/** Whether nothing was lost, doubled or reordered, and no session ended. */
function judge(what: string, report: ChaosReport): Result {
  const { lostAt, ...figures } = report;
  const { seed, sent, echoes, violations, sessionsLost } = figures;
  const isMet = sent > 0 && echoes === sent && violations.length === 0 && sessionsLost === 0;
  return [
    `SEED=${seed}: ${what}: nothing lost, doubled or reordered`,
    isMet,
    { ...figures, streamsLost: lostAt.length },
  ];
}
