import { once } from 'node:events';
import { onTestFinished } from '../helpers/on-test-finished';
import { addressOf, openDuplex } from '../helpers/channel';
import { openStream, post } from '../helpers/http';
import { composeRequest, pipeline } from '../helpers/pipeline';
import { startProcess } from '../helpers/processes';

export interface FloodReport {
  /** Number of responses by status. */
  statuses: Record<string, number>;
  /** Growth of the server's resident memory in bytes. */
  growth: number;
  /** Responses to a valid POST of each dialect after the flood. */
  responses: unknown[];
}

const CONNECTIONS = 4;

/** Sends POSTs with unknown session ids and with message numbers outside of the reorder window. */
export async function runFlood(warmUp: number, count: number): Promise<FloodReport> {
  const { process: server, ready: port } = await startProcess(
    '__tests__/integration/processes/server.ts',
    ['{}'],
    ['--expose-gc'],
  );
  onTestFinished(() => server.kill('SIGKILL'));
  const url = `http://127.0.0.1:${String(port)}/sse`;
  await openStream(addressOf(url, 'dart'));
  const duplex = await openDuplex(url, 'duplex');
  const measureMemory = async () => {
    server.send('rss');
    return ((await once(server, 'message')) as [number])[0];
  };
  const envelope = (id: number) =>
    JSON.stringify({ token: duplex.token, id, ack: 0, messages: ['x'] });
  const kinds = [
    (index: number) => composePost(`dart&messageId=${100_000 + index}`, '"x"'),
    (index: number) => composePost('duplex', envelope(100_000 + index)),
    (index: number) => composePost(`unknown-${index}&messageId=0`, '"x"'),
  ];
  const flood = async (from: number, to: number) => {
    const lanes = Array.from({ length: CONNECTIONS }, (): string[] => []);
    for (let index = from; index < to; index++) {
      lanes[index % CONNECTIONS]!.push(kinds[index % kinds.length]!(index));
    }
    return Promise.all(lanes.map((requests) => pipeline(url, requests)));
  };

  await flood(0, warmUp);
  const before = await measureMemory();
  const statuses: Record<string, number> = {};
  for (const counts of await flood(warmUp, warmUp + count)) {
    for (const [response, times] of counts) {
      const status = response.split(' ')[1]!;
      statuses[status] = (statuses[status] ?? 0) + times;
    }
  }
  const growth = (await measureMemory()) - before;
  const responses = [
    (await post(addressOf(url, 'dart', 0), '"x"')).json,
    (await duplex.post({ messages: ['x'] })).json,
  ];
  return { statuses, growth, responses };
}

function composePost(query: string, body: string): string {
  return composeRequest('POST', `/sse?sseClientId=${query}`, {}, body);
}
