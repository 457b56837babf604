import { createEventStreamDecoder } from '../../lib/protocol/event-stream';
import { parseCommandLine } from '../../scripts/command-line.mjs';
import { seeds } from '../helpers/random';
import { soakProxies } from '../integration/proxies/soak';
import { runSlowBodies } from '../integration/slow-bodies';
import { clusterSoaks } from '../cluster/soak';
import { runChaos } from './chaos';
import { runChurn } from './churn';
import { runClusterDartModel } from './cluster-dart-model';
import { runClusterModel } from './cluster-model';
import { cutResponsesToDartClient, cutResponsesToDuplexClient } from './cut-responses';
import { runKills } from './kill';
import { countClosedSessions, measureReorderBuffer } from './memory';
import { runModel } from './model';
import type { Result } from './soak-result';
import { runStalled } from './stalled';
import { peakToMean, runStop } from './stop';
import { runSuspension } from './suspend';

const MIB = 1024 * 1024;

/** The long versions of the tests in this folder, and everything that is measured in wall-clock time. */
const soaks: Record<string, () => AsyncGenerator<Result>> = {
  async *chaos() {
    for (const seed of seeds(20)) {
      const options = { seed, messages: 10_000, faults: 500, timeout: 900_000 };
      const start = performance.now();
      const { up, down, struck, resumed, ends, peak } = await runChaos(options);
      const isMet = [up, down].every(
        ({ sent, lost, duplicated, reordered, sentHash, receivedHash }) =>
          sent >= 10_000 && lost + duplicated + reordered === 0 && sentHash === receivedHash,
      );
      const seconds = Math.round((performance.now() - start) / 1000);
      yield [
        `SEED=${seed}: 10,000 messages in each direction, 500 faults: none lost, duplicated or reordered`,
        isMet && struck >= 500 && ends.length === 0,
        { up, down, struck, resumed, ends, peak, seconds },
      ];
    }
  },

  async *model() {
    for (const seed of seeds(1)) {
      await runModel(seed, 10_000); // throws if a guarantee is violated
      yield [`SEED=${seed}: 10,000 runs: no guarantee violated`, true, 'all'];
    }
  },

  async *'cluster-model'() {
    for (const seed of seeds(1)) {
      await runClusterModel(seed, 10_000); // throws if a guarantee is violated
      yield [`SEED=${seed}: 10,000 runs with several nodes: no guarantee violated`, true, 'all'];
    }
  },

  async *'cluster-dart'() {
    for (const seed of seeds(1)) {
      await runClusterDartModel(seed, 10_000); // throws if a guarantee is violated
      yield [
        `SEED=${seed}: 10,000 runs with clients of the Dart dialect: no guarantee violated`,
        true,
        'all',
      ];
    }
  },

  ...clusterSoaks,

  async *'cut-responses'() {
    for (const cutResponses of [cutResponsesToDartClient, cutResponsesToDuplexClient]) {
      const { sent, delivered, struck } = await cutResponses(1_000);
      yield [
        `${cutResponses.name}: 1,000 responses cut, exactly 1,000 deliveries`,
        struck === 1_000 && JSON.stringify(delivered) === JSON.stringify(sent),
        { struck, delivered: delivered.length },
      ];
    }
  },

  async *kill() {
    for (const seed of seeds(1)) {
      const report = await runKills(seed, 50);
      const { sent, delivered, unacknowledged, silentlyLost, deliveredAndReported, disorder } =
        report;
      const isOrdered = delivered.every((number, i) => i === 0 || number > delivered[i - 1]!);
      yield [
        `SEED=${seed}: 50 kills: each message delivered once or reported`,
        silentlyLost.length === 0 && isOrdered && disorder.length === 0,
        {
          sent,
          delivered: delivered.length,
          reported: unacknowledged.flat().length,
          deliveredAndReported,
          silentlyLost,
          disorder,
        },
      ];
    }
  },

  async *stalled() {
    const options = {
      readers: 99,
      messages: 1_600,
      messageBytes: 65_536,
      interval: 125,
      maxBufferedAmount: 16 * MIB,
    };
    const without = await runStalled({ ...options, isStalled: false });
    const { held, closedAfter, serverClose, clientClose, p99 } = await runStalled({
      ...options,
      isStalled: true,
    });
    yield ['holds at most 16 MiB + 256 KiB', held <= 16.25 * MIB, held];
    yield ['closed within 1 s', closedAfter !== undefined && closedAfter < 1_000, closedAfter];
    yield [
      '1008 at both ends',
      serverClose?.code === 1008 && clientClose?.code === 1008,
      { serverClose, clientClose },
    ];
    yield [
      "the other readers' p99 at most 1.5 times as long as without the stalled one",
      p99 <= 1.5 * without.p99,
      { with: p99, without: without.p99, ratio: p99 / without.p99 },
    ];
  },

  async *suspend() {
    const back = await runSuspension(30_000, 15_000, 60_000);
    yield [
      '30 s, before the timeout: nothing lost',
      JSON.stringify(back.down.sent) === JSON.stringify(back.down.received) &&
        JSON.stringify(back.up.sent) === JSON.stringify(back.up.received) &&
        back.opened === 1,
      back,
    ];
    const late = await runSuspension(30_000, 1_000, 5_000);
    yield [
      '30 s, after the timeout: both sides know what was lost',
      JSON.stringify(late.unacknowledged) === JSON.stringify(late.up.sent.slice(1)) &&
        late.close?.code === 1006 &&
        late.close.unacknowledged.every((message, i) => message === late.down.sent[10 + i]),
      late,
    ];
  },

  async *stop() {
    const options = { clients: 1_000, drainTimeout: 5_000, reconnectJitter: 5_000 };
    const { returns, exitAfter, exitCode, lostDown, lostUp, unacknowledged, ends } =
      await runStop(options);
    yield ['exits within 6 s', exitAfter < 6_000 && exitCode === 0, { exitAfter, exitCode }];
    const lost = { lostDown, lostUp, unacknowledged, ends };
    const isMet = lostDown + lostUp + unacknowledged + ends.length === 0;
    yield ['nothing lost', isMet, lost];
    const ratio = peakToMean(returns, 100);
    const span = [Math.min(...returns), Math.max(...returns)];
    yield ['reconnections per 100 ms at most twice the mean', ratio <= 2, { ratio, span }];
  },

  async *churn() {
    const report = await runChurn({ cycles: 10_000, warmUp: 2_000 });
    const { sessions, connected, opened, listeners, resources, heapBytes } = report;
    yield ['6,000 sessions of 10,000 cycles', opened === 6_000, opened];
    yield [
      'nothing is left',
      sessions + connected + listeners + resources.length === 0,
      { sessions, connected, listeners, resources },
    ];
    yield ['heap at most 2 MB above the start', heapBytes <= 2e6 && !!globalThis.gc, heapBytes];
  },

  async *resources() {
    const factor = await measureReorderBuffer();
    yield ['16 MiB of messages out of order take at most twice their size', factor <= 2, factor];
    const times = [16, 32, 64].map((mib) => decodeLine(mib));
    const [short = 0, , long = 0] = times;
    yield [
      'decoding a line of 64 MiB takes at most 10 times as long as 16 MiB',
      long < 10 * short,
      times,
    ];
    const remaining = await countClosedSessions(10_000);
    yield ['10,000 closed sessions leave no connection in memory', remaining === 0, remaining];
  },

  async *'slow-bodies'() {
    const report = await runSlowBodies(1_000, 200, { bodyTimeout: 1_000 });
    const { statuses, slowest, medianBefore, medianDuring } = report;
    yield [
      '1,000 slow bodies: 408 within 30 s',
      statuses[408] === 1_000 && slowest < 30_000,
      report,
    ];
    yield [
      "another client's echo at most 20 ms and 10 times slower",
      medianDuring < 20 + 10 * medianBefore,
      { medianBefore, medianDuring },
    ];
  },

  proxies: soakProxies,
};

/** Decodes one line that arrives in pieces of 64 KiB. Returns the least CPU time of three, in ms. */
function decodeLine(mib: number): number {
  const piece = 'x'.repeat(MIB / 16);
  const times = [1, 2, 3].map(() => {
    const start = process.cpuUsage();
    const decode = createEventStreamDecoder(() => {}, Infinity);
    decode('data: ');
    for (let length = 0; length < mib * MIB; length += piece.length) decode(piece);
    decode('\n\n');
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1000;
  });
  return Math.min(...times);
}

const USAGE = `Runs the long versions of the tests, and the measurements in wall-clock time.

  npm run soak                all of them
  npm run soak chaos          one of them
  SEED=5 npm run soak model   repeats a random run

Exits with 1 if a requirement is not met.

Names: ${Object.keys(soaks).join(', ')}`;

async function main(): Promise<void> {
  const { names } = parseCommandLine('npm run soak', USAGE, Object.keys(soaks));
  for (const name of names.length > 0 ? names : Object.keys(soaks)) {
    for await (const [what, isMet, measured] of soaks[name]!()) {
      console.log(`${isMet ? 'met   ' : 'FAILED'} ${name}: ${what}: ${JSON.stringify(measured)}`);
      if (!isMet) process.exitCode = 1;
    }
  }
  // Node 20 may hang in its last platform tasks.
  process.exit();
}

void main();
