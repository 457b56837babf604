import { seeds } from '../helpers/random';
import { soakProxies } from '../proxies/soak';
import { runChaos } from './chaos';
import { runChurn } from './churn';
import { cutAnswersOfBase, cutAnswersOfDuplex } from './cut-answers';
import { runKills } from './kill';
import { runModel } from './model';
import { runStalled } from './stalled';
import { peakToMean, runStop } from './stop';
import { runSuspension } from './suspend';

/** A figure, whether it is as it must be, and what was measured. */
export type Result = [what: string, isMet: boolean, measured: unknown];

const MIB = 1024 * 1024;

/** The long versions of the tests beside this file. */
const soaks: Record<string, () => AsyncGenerator<Result>> = {
  async *chaos() {
    for (const seed of seeds(20)) {
      const options = { seed, messages: 10_000, faults: 500, patience: 900_000 };
      const start = performance.now();
      const { up, down, struck, resumed, ends, peak } = await runChaos(options);
      const isMet = [up, down].every(
        ({ sent, lost, doubled, reordered, sentHash, receivedHash }) =>
          sent >= 10_000 && lost + doubled + reordered === 0 && sentHash === receivedHash,
      );
      const seconds = Math.round((performance.now() - start) / 1000);
      yield [
        `SEED=${seed}: 10,000 messages each way, 500 faults: 0 lost, doubled, reordered`,
        isMet && struck >= 500 && ends.length === 0,
        { up, down, struck, resumed, ends, peak, seconds },
      ];
    }
  },

  async *model() {
    for (const seed of seeds(1)) {
      await runModel(seed, 10_000); // throws, with what led there
      yield [`SEED=${seed}: 10,000 runs: the promise kept`, true, 'all'];
    }
  },

  async *'cut-answers'() {
    for (const cutAnswers of [cutAnswersOfBase, cutAnswersOfDuplex]) {
      const { sent, delivered, struck } = await cutAnswers(1_000);
      yield [
        `${cutAnswers.name}: 1,000 answers cut, exactly 1,000 deliveries`,
        struck === 1_000 && JSON.stringify(delivered) === JSON.stringify(sent),
        { struck, delivered: delivered.length },
      ];
    }
  },

  async *kill() {
    for (const seed of seeds(1)) {
      const report = await runKills(seed, 50);
      const { sent, delivered, unacknowledged, silentlyLost, namedInVain, disorder } = report;
      const isOrdered = delivered.every((number, i) => i === 0 || number > delivered[i - 1]!);
      yield [
        `SEED=${seed}: 50 kills: each message delivered, once, or named`,
        silentlyLost.length === 0 && isOrdered && disorder.length === 0,
        {
          sent,
          delivered: delivered.length,
          named: unacknowledged.flat().length,
          namedInVain,
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
    const { held, appliedAfter, close, told, p99 } = await runStalled({
      ...options,
      isStalled: true,
    });
    yield ['holds at most 16 MiB + 256 KiB', held <= 16.25 * MIB, held];
    yield ['policy within 1 s', appliedAfter !== undefined && appliedAfter < 1_000, appliedAfter];
    yield ['1008 at both ends', close?.code === 1008 && told?.code === 1008, { close, told }];
    yield [
      "the others' p99 at most 1.5 times that without it",
      p99 <= 1.5 * without.p99,
      { with: p99, without: without.p99, ratio: p99 / without.p99 },
    ];
  },

  async *suspend() {
    const back = await runSuspension(30_000, 15_000, 60_000);
    yield [
      '30 s, in time: nothing lost',
      JSON.stringify(back.down.sent) === JSON.stringify(back.down.received) &&
        JSON.stringify(back.up.sent) === JSON.stringify(back.up.received) &&
        back.opened === 1,
      back,
    ];
    const late = await runSuspension(30_000, 1_000, 5_000);
    yield [
      '30 s, too late: both sides know what',
      JSON.stringify(late.unacknowledged) === JSON.stringify(late.up.sent.slice(1)) &&
        late.close?.code === 1006 &&
        late.close.unacknowledged.every((message, i) => message === late.down.sent[10 + i]) &&
        late.down.sent.every(
          (message) =>
            late.down.received.includes(message) ||
            late.close!.unacknowledged.includes(message) ||
            late.down.sent.indexOf(message) >= 10 + late.close!.unacknowledged.length,
        ),
      late,
    ];
  },

  async *stop() {
    const options = { clients: 1_000, drainTimeout: 5_000, reconnectJitter: 5_000 };
    const { returns, exitAfter, exitCode, lostDown, lostUp, named, ends } = await runStop(options);
    yield ['exits within 6 s', exitAfter < 6_000 && exitCode === 0, { exitAfter, exitCode }];
    const lost = { lostDown, lostUp, named, ends };
    yield ['nothing lost', lostDown + lostUp + named + ends.length === 0, lost];
    const ratio = peakToMean(returns, 100);
    const span = [Math.min(...returns), Math.max(...returns)];
    yield ['back in at most twice the mean per 100 ms', ratio <= 2, { ratio, span }];
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

  proxies: soakProxies,
};

async function main(): Promise<void> {
  const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(soaks);
  for (const name of names) {
    for await (const [what, isMet, measured] of soaks[name]!()) {
      console.log(`${isMet ? 'met   ' : 'FAILED'} ${name}: ${what}: ${JSON.stringify(measured)}`);
      if (!isMet) process.exitCode = 1;
    }
  }
  // Node 20 may spin for ever, with nothing left to do, in its platform's last tasks.
  process.exit();
}

void main();
