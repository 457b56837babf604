import { Agent, request } from 'node:http';
import { SseClient } from '../../lib/client/index';
import { ChaosProxy } from '../helpers/chaos-proxy';
import { waitFor } from '../helpers/wait-for';
import { openServer } from './open-server';

export interface CutAnswersReport {
  sent: unknown[];
  delivered: unknown[];
  /** Sockets that died between a POST and its answer. */
  struck: number;
}

/** A client of the base dialect that sends a POST again as Chromium does when its socket dies. */
export async function cutAnswersOfBase(count: number): Promise<CutAnswersReport> {
  const { sse, port, close } = await openServer();
  const proxy = await ChaosProxy.open(port);
  const delivered = recordMessages(sse);
  const base = `${proxy.origin}/sse?sseClientId=chromium`;
  const stream = request(base, { agent: false }).end();
  stream.on('error', () => {});
  await new Promise((resolve) => stream.once('response', resolve));

  // Six connections, as browsers have them: what arrives is out of order.
  const agent = new Agent({ keepAlive: true, maxSockets: 6 });
  const post = (message: unknown, index: number) =>
    new Promise((resolve, reject) => {
      request(`${base}&messageId=${index}`, { method: 'POST', agent })
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

/** The duplex client. */
export async function cutAnswersOfDuplex(count: number): Promise<CutAnswersReport> {
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
