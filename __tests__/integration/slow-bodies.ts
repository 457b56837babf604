import { once } from 'node:events';
import { SseClient } from '../../lib/client/index';
import { startProcess } from '../helpers/processes';
import { waitFor } from '../helpers/wait-for';

export interface SlowBodiesReport {
  /** Number of responses by status. */
  statuses: Record<number, number>;
  /** Milliseconds until the last response. */
  slowest: number;
  /** Number of messages that another client sent and got back while the bodies were incomplete. */
  echoes: number;
  /** Median milliseconds of such an echo, before and while the bodies were incomplete. */
  medianBefore: number;
  medianDuring: number;
}

/** Lets many clients post slowly while another client exchanges messages with the server. */
export async function runSlowBodies(
  count: number,
  interval: number,
  options: object,
): Promise<SlowBodiesReport> {
  const { process: server, ready: port } = await startProcess(
    '__tests__/integration/processes/server.ts',
    [JSON.stringify(options)],
  );
  const url = `http://127.0.0.1:${String(port)}/sse`;
  const client = new SseClient(url);
  const stream = new AbortController();
  try {
    await fetch(`${url}?sseClientId=slow`, { signal: stream.signal });
    await waitFor(() => client.readyState === SseClient.OPEN);
    const echo = () =>
      new Promise<number>((resolve) => {
        const start = performance.now();
        client.onmessage = () => resolve(performance.now() - start);
        client.send('echo');
      });

    const before: number[] = [];
    while (before.length < 300) before.push(await echo());

    const { process: slow } = await startProcess('__tests__/integration/processes/slow-bodies.ts', [
      port,
      count,
      interval,
    ]);
    let responses: [status: number, milliseconds: number][] | undefined;
    void once(slow, 'message').then(([message]) => (responses = message as typeof responses));
    const during: number[] = [];
    while (!responses) during.push(await echo());

    const statuses: Record<number, number> = {};
    for (const [status] of responses) statuses[status] = (statuses[status] ?? 0) + 1;
    return {
      statuses,
      slowest: Math.max(...responses.map(([, milliseconds]) => milliseconds)),
      echoes: during.length,
      medianBefore: median(before),
      medianDuring: median(during),
    };
  } finally {
    stream.abort();
    client.close();
    await waitFor(() => client.readyState === SseClient.CLOSED);
    server.kill('SIGKILL');
  }
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}
