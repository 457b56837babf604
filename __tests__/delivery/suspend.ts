import { setTimeout as sleep } from 'node:timers/promises';
import { ChaosProxy } from '../helpers/chaos-proxy';
import { startProcess } from '../helpers/processes';
import { waitFor } from '../helpers/wait-for';
import { openServer } from './open-server';

export interface SuspendReport {
  /** Messages from the server to the client. */
  down: { sent: unknown[]; received: unknown[] };
  /** Messages from the client to the server. */
  up: { sent: unknown[]; received: unknown[] };
  /** Types of the client's events other than `message`. */
  events: string[];
  /** The list of the client's `sessionlost` event. */
  unacknowledged: unknown;
  /** The connection's `close` event, if there was one. */
  close: { code: number; unacknowledged: unknown[] } | undefined;
  opened: number;
}

/** Suspends a client's process during traffic in both directions. All times are in milliseconds. */
export async function runSuspension(
  suspended: number,
  heartbeatInterval: number,
  reconnectTimeout: number,
): Promise<SuspendReport> {
  const { sse, port, close } = await openServer({ heartbeatInterval, reconnectTimeout });
  const proxy = await ChaosProxy.open(port);
  const { process: child } = await startProcess('__tests__/delivery/processes/client.ts', [
    `${proxy.origin}/sse`,
  ]);
  const report: SuspendReport = {
    down: { sent: [], received: [] },
    up: { sent: [], received: [] },
    events: [],
    unacknowledged: undefined,
    close: undefined,
    opened: 0,
  };
  child.on('message', ({ event, value }: { event: string; value: unknown }) => {
    if (event === 'message') report.down.received.push(value);
    else report.events.push(event);
    if (event === 'sessionlost') report.unacknowledged = value;
  });
  sse.on('connection', (connection) => {
    connection.on('message', (message) => report.up.received.push(message));
    connection.on('close', (code, _, { unacknowledged }) => {
      report.close ??= { code, unacknowledged: [...unacknowledged] };
    });
  });
  const sendDown = (message: string) => {
    report.down.sent.push(message);
    sse.broadcast(message);
  };
  const sendUp = (message: string) => {
    report.up.sent.push(message);
    child.send(message);
  };

  try {
    await waitFor(() => report.events.includes('open'));
    for (let i = 0; i < 10; i++) sendDown(`before ${i}`);
    await waitFor(() => report.down.received.length === 10);
    sendUp('acknowledges all before');
    await waitFor(() => report.up.received.length === 1);

    // This POST never arrives: the proxy swallows it, and then the process stops.
    const struck = proxy.inject({ kind: 'black-hole', method: 'POST', direction: 'up', after: 0 });
    for (let i = 0; i < 3; i++) sendUp(`in flight ${i}`);
    await struck;
    await sleep(100); // lets the process receive all three
    child.kill('SIGSTOP');
    for (let i = 0; i < 10; i++) {
      sendDown(`suspended ${i}`);
      await sleep(suspended / 10);
    }
    child.kill('SIGCONT');

    // If the stream survived, the client reads what waited in the socket and does not reconnect.
    const hasAll = () => report.down.received.length === report.down.sent.length;
    const isBack = () => ['reconnect', 'open'].includes(report.events.at(-1)!);
    await waitFor(() => hasAll() || (report.events.length > 1 && isBack()), 20_000);
    sendDown('after');
    const isComplete = () =>
      report.down.received.at(-1) === 'after' &&
      (report.unacknowledged !== undefined || report.up.received.length === report.up.sent.length);
    await waitFor(isComplete, 20_000, () => JSON.stringify(report));
    report.opened = sse.stats().opened;
    return structuredClone(report); // without the events of closing below
  } finally {
    child.kill('SIGKILL');
    await close();
    await proxy.close();
  }
}
