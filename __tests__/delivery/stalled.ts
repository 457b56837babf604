import { setTimeout as sleep } from 'node:timers/promises';
import type { Socket } from 'node:net';
import { SseClient } from '../../lib/client/index';
import { waitFor } from '../helpers/wait-for';
import { openServer } from './open-server';

export interface StalledOptions {
  readers: number;
  /** Adds one more reader, which does not read. */
  isStalled: boolean;
  messages: number;
  messageBytes: number;
  /** Milliseconds between two messages. */
  interval: number;
  maxBufferedAmount: number;
}

export interface StalledReport {
  /** Largest number of bytes that the server held for the stalled client, in the session and its socket. */
  held: number;
  /** Milliseconds from the message that exceeded the limit to the connection's `close`. */
  closedAfter: number | undefined;
  /** The stalled connection's `close` event at the server and at the client. */
  serverClose: { code: number; reason: string } | undefined;
  clientClose: { code: number; reason: string } | undefined;
  /** For each reader, how many messages it received in order. */
  received: number[];
  /** 99th percentile of the milliseconds from `broadcast` to `message`. */
  p99: number;
}

/** Broadcasts to readers, one of which reads nothing. */
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
    closedAfter: undefined,
    serverClose: undefined,
    clientClose: undefined,
    received,
    p99: 0,
  };
  let exceededAt: number | undefined;
  let measure = (_frame: number) => {};
  let reader: ReadableStreamDefaultReader | undefined;
  if (isStalled) {
    const client = new SseClient(url, { debugKey: 'stalled', backoff: () => 50 });
    client.onclose = ({ code, reason }) => (report.clientClose = { code, reason });
    reader = client.stream.getReader();
    await waitFor(() => sse.connections.size === readers + 1);
    const stalled = [...sse.connections].find(({ id }) => id.startsWith('stalled'))!;
    const socket = sockets.get(stalled.request.socket.remotePort!)!;
    stalled.on('close', (code, reason) => {
      report.serverClose = { code, reason };
      report.closedAfter = performance.now() - exceededAt!;
    });
    let unread = 0;
    measure = (frame) => {
      unread += frame;
      if (unread > maxBufferedAmount) exceededAt ??= performance.now();
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
    await waitFor(() => report.serverClose !== undefined);
    // The stalled client reads on.
    while (!(await reader.read()).done);
    await waitFor(() => report.clientClose !== undefined, 10_000);
  }
  times.sort((a, b) => a - b);
  report.p99 = times[Math.floor(times.length * 0.99)]!;
  const ended = clients.map((client) => new Promise((resolve) => (client.onclose = resolve)));
  await close();
  await Promise.all(ended);
  return report;
}
