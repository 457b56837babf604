import { once } from 'node:events';
import { SseClient } from '../../lib/client/index';
import { onTestFinished } from '../helpers/on-test-finished';
import { openClient } from '../helpers/client';
import { startProcess } from '../helpers/processes';
import { waitFor } from '../helpers/wait-for';

export interface SlowBodiesReport {
  /** How many of each status. */
  statuses: Record<number, number>;
  /** The slowest answer, in milliseconds. */
  slowest: number;
  /** Of another client's echoes, in milliseconds. */
  medianBefore: number;
  medianDuring: number;
  echoesDuring: number;
}

/** Lets many clients post very slowly, beside one that wants its messages back. */
export async function runSlowBodies(
  count: number,
  interval: number,
  options: object,
): Promise<SlowBodiesReport> {
  const url = await startServer(options);
  const client = openClient(`${url}/sse`);
  await waitFor(() => client.readyState === SseClient.OPEN);
  const echo = () =>
    new Promise<number>((resolve) => {
      const begun = performance.now();
      client.onmessage = () => resolve(performance.now() - begun);
      client.send('echo');
    });

  const before: number[] = [];
  while (before.length < 300) before.push(await echo());

  const { process: slow } = await startProcess('__tests__/integration/processes/slow-bodies.ts', [
    new URL(url).port,
    count,
    interval,
  ]);
  onTestFinished(() => slow.kill('SIGKILL'));
  let answers: [status: number, time: number][] | undefined;
  void once(slow, 'message').then(([message]) => (answers = message as typeof answers));
  const during: number[] = [];
  while (!answers) during.push(await echo());

  const statuses: Record<number, number> = {};
  for (const [status] of answers) statuses[status] = (statuses[status] ?? 0) + 1;
  return {
    statuses,
    slowest: Math.max(...answers.map(([, time]) => time)),
    medianBefore: median(before),
    medianDuring: median(during),
    echoesDuring: during.length,
  };
}

async function startServer(options: object): Promise<string> {
  const { process: server, ready } = await startProcess(
    '__tests__/integration/processes/server.ts',
    [JSON.stringify(options)],
  );
  onTestFinished(() => server.kill('SIGKILL'));
  return `http://127.0.0.1:${String(ready)}`;
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}
