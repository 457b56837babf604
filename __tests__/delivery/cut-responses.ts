import { Agent, request } from 'node:http';
import { SseClient } from '../../lib/client/index';
import { ChaosProxy } from '../helpers/chaos-proxy';
import { waitFor } from '../helpers/wait-for';
import { openServer } from './open-server';

export interface CutResponsesReport {
  sent: unknown[];
  delivered: unknown[];
  /** Number of connections that were reset between a POST and its response. */
  struck: number;
}

/** Uses a Dart-dialect client that repeats a POST whose connection is reset, as Chromium does. */
export async function cutResponsesToDartClient(count: number): Promise<CutResponsesReport> {
  const { sse, port, close } = await openServer();
  const proxy = await ChaosProxy.open(port);
  const delivered = recordMessages(sse);
  const url = `${proxy.origin}/sse?sseClientId=chromium`;
  const stream = request(url, { agent: false }).end();
  stream.on('error', () => {});
  await new Promise((resolve) => stream.once('response', resolve));

  // Browsers have six connections, so the POSTs arrive out of order.
  const agent = new Agent({ keepAlive: true, maxSockets: 6 });
  const post = (message: unknown, index: number) =>
    new Promise((resolve, reject) => {
      request(`${url}&messageId=${index}`, { method: 'POST', agent })
        .on('response', (response) => response.resume().on('end', resolve))
        .on('error', reject)
        .end(JSON.stringify(message));
    });
  const sent = Array.from({ length: count }, (_, index) => ({ index }));
  await Promise.all(
    sent.map((message, index) => {
      const target = new RegExp(`messageId=${index}$`);
      void proxy.inject({ kind: 'rst', method: 'POST', target, direction: 'down', after: 0 });
      return post(message, index).catch(() => post(message, index));
    }),
  );

  stream.destroy();
  agent.destroy();
  await close();
  await proxy.close();
  return { sent, delivered, struck: proxy.struck };
}

/** Uses `SseClient`. */
export async function cutResponsesToDuplexClient(count: number): Promise<CutResponsesReport> {
  const { sse, port, close } = await openServer();
  const proxy = await ChaosProxy.open(port);
  const delivered = recordMessages(sse);
  const client = new SseClient(`${proxy.origin}/sse`, { backoff: () => 1 });
  await new Promise((resolve) => (client.onopen = resolve));
  const sent = Array.from({ length: count }, (_, index) => ({ index }));
  for (const message of sent) {
    const struck = proxy.inject({ kind: 'rst', method: 'POST', direction: 'down', after: 0 });
    client.send(message);
    await struck;
    await waitFor(() => client.bufferedAmount === 0);
  }
  client.close();
  await waitFor(() => client.readyState === SseClient.CLOSED, 15_000);
  await close();
  await proxy.close();
  return { sent, delivered, struck: proxy.struck };
}

function recordMessages(sse: Awaited<ReturnType<typeof openServer>>['sse']): unknown[] {
  const delivered: unknown[] = [];
  sse.on('connection', (connection) => {
    connection.on('message', (message) => delivered.push(message));
  });
  return delivered;
}
