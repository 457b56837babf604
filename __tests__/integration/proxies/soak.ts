import { seeds } from '../../helpers/random';
import type { Result } from '../../delivery/soak-result';
import { startHaproxy } from './haproxy';
import { startNginx } from './nginx';
import { measureFirstMessages, runSilence, runTraffic } from './traffic';

const MINUTE = 60_000;

/** The long versions of the tests in this folder, and what is measured in wall-clock time. */
export async function* soakProxies(): AsyncGenerator<Result> {
  const times = await measureFirstMessages(startNginx, 25);
  const median = times.toSorted((a, b) => a - b)[12]!;
  yield ['nginx: median time to the first message under 200 ms', median < 200, { median, times }];

  const startProxy = (port: number) => startHaproxy(port, 3_000);
  for (const seed of seeds(3)) {
    const options = { seed, messages: 10_000, cuts: 20, cutAfter: 3_000 };
    const { up, down, events, opened, resumed } = await runTraffic(startProxy, options);
    yield [
      `SEED=${seed}: HAProxy with a timeout of 3 s, 20 cuts: hashes equal`,
      up.sentHash === up.receivedHash && down.sentHash === down.receivedHash && opened === 1,
      { up, down, resumed, errors: events.filter((event) => event === 'error').length },
    ];
  }

  const [throughNginx, throughHaproxy] = await Promise.all([
    runSilence(startNginx, 5 * MINUTE),
    runSilence((port) => startHaproxy(port, 30_000), 5 * MINUTE),
  ]);
  yield [
    'nginx: 5 min without messages: no disconnect',
    throughNginx.join() === 'open',
    throughNginx,
  ];
  yield [
    'HAProxy with a timeout of 30 s: 5 min without messages: no disconnect',
    throughHaproxy.join() === 'open',
    throughHaproxy,
  ];
}
