import { setTimeout as sleep } from 'node:timers/promises';
import type { Socket } from 'node:net';
import { SseClient } from '../../lib/client/index';
import { waitFor } from '../helpers/wait-for';
import { openServer } from './open-server';

export interface StalledOptions {
  readers: number;
  /** Whether one more is there that does not read. */
  isStalled: boolean;
  messages: number;
  messageBytes: number;
  /** Milliseconds between two messages. */
  interval: number;
  maxBufferedAmount: number;
}

export interface StalledReport {
  /** Most that the server held for the stalled connection: for the session, and in its socket. */
  held: number;
  /** Milliseconds from the message that passed the bound to the connection's `close`. */
  appliedAfter: number | undefined;
  /** How it ended there, and at the client. */
  close: { code: number; reason: string } | undefined;
  told: { code: number; reason: string } | undefined;
  /** Of each reader: how many messages came, in order. */
  received: number[];
  /** Milliseconds from `broadcast` to `message`, the 99th of 100. */
  p99: number;
}

/** Broadcasts to readers of which one reads nothing. */
export async function runStalled(options: StalledOptions): Promise<StalledReport> {
  const { readers, isStalled, messages, messageBytes, interval, maxBufferedAmount } = options;
  const { sse, server, port, close } = await openServer<unknown, { sentAt: number }>({
    maxBufferedAmount,
  });
  const url = `http://127.0.0.1:${port}/sse`;
  const sockets = new Map<number, Socket>();
  server.on('connection', (socket: Socket) => sockets.set(socket.remotePort!, socket));

  const times: number[] = [];
  const received = Array.from({ length: readers }, () => 0);
  const clients = received.map((_, reader) => {
    const client = new SseClient<{ index: number; sentAt: number }>(url);
    client.onmessage = ({ data }) => {
      if (data.index !== received[reader]) return;
      received[reader]++;
      times.push(performance.now() - data.sentAt);
    };
    return client;
  });
  await waitFor(() => sse.connections.size === readers, 30_000);

  const report: StalledReport = {
    held: 0,
    appliedAfter: undefined,
    close: undefined,
    told: undefined,
    received,
    p99: 0,
  };
  let passedAt: number | undefined;
  let measure = (_frame: number) => {};
  let reader: ReadableStreamDefaultReader | undefined;
  if (isStalled) {
    const client = new SseClient(url, { debugKey: 'stalled', backoff: () => 50 });
    client.onclose = ({ code, reason }) => (report.told = { code, reason });
    reader = client.stream.getReader();
    await waitFor(() => sse.connections.size === readers + 1);
    const stalled = [...sse.connections].find(({ id }) => id.startsWith('stalled'))!;
    const socket = sockets.get(stalled.request.socket.remotePort!)!;
    stalled.on('close', (code, reason) => {
      report.close = { code, reason };
      report.appliedAfter = performance.now() - passedAt!;
    });
    let unread = 0;
    measure = (frame) => {
      unread += frame;
      if (unread > maxBufferedAmount) passedAt ??= performance.now();
      const held = stalled.unacknowledgedAmount + socket.writableLength;
      report.held = Math.max(report.held, held);
    };
  }

  const filler = 'x'.repeat(messageBytes);
  for (let index = 0; index < messages; index++) {
    const message = { index, sentAt: performance.now(), filler };
    measure(JSON.stringify(message).length + 'data: \n\n'.length);
    sse.broadcast(message);
    await sleep(interval);
  }
  const isComplete = () => received.every((count) => count === messages);
  await waitFor(isComplete, 60_000, () => `all at ${received.join()}`);
  if (reader) {
    await waitFor(
      () => report.close !== undefined,
      2_000,
      () => 'the policy',
    );
    // It reads again.
    while (!(await reader.read()).done);
    await waitFor(
      () => report.told !== undefined,
      10_000,
      () => 'the stalled client to be told',
    );
  }
  times.sort((a, b) => a - b);
  report.p99 = times[Math.floor(times.length * 0.99)]!;
  const ended = clients.map((client) => new Promise((resolve) => (client.onclose = resolve)));
  await close();
  await Promise.all(ended);
  return report;
}
