import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { SseClient } from '../../lib/client/index';
import { waitFor } from '../helpers/wait-for';
import { openServer } from './open-server';

export interface ChurnOptions {
  cycles: number;
  /** Cycles before the first measurement, so that one-time allocations are not counted. */
  warmUp: number;
}

export interface ChurnReport {
  /** Sessions that still exist afterwards. */
  sessions: number;
  connected: number;
  /** Sessions that were opened. */
  opened: number;
  /** Differences from the first measurement. */
  listeners: number;
  resources: string[];
  heapBytes: number;
}

/** How a client leaves. */
const KINDS = ['close', 'fin', 'rst', 'authorize', 'headers'] as const;
/** Number of concurrent clients. */
const LANES = 20;

/** Opens and ends connections of every kind and reports what is left of them. */
export async function runChurn({ cycles, warmUp }: ChurnOptions): Promise<ChurnReport> {
  const { sse, server, port, close } = await openServer({
    reconnectTimeout: 50,
    authorize: async ({ url }) => {
      if (url.includes('slow')) await sleep(20);
      return true;
    },
  });
  sse.on('connection', (connection) => {
    connection.on('message', () => {});
    connection.send('hello');
  });

  const run = async (count: number) => {
    let next = 0;
    const lane = async () => {
      for (let index; (index = next++) < count;) await cycle(port, index);
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    await waitFor(
      () => sse.stats().connections === 0,
      20_000,
      () => JSON.stringify(sse.stats()),
    );
    server.closeIdleConnections();
    // Node's fetch keeps an unused connection open for 4 s.
    const deadline = Date.now() + 10_000;
    while ((await countConnections()) > 0 && Date.now() < deadline) await sleep(100);
  };
  const countConnections = promisify(server.getConnections.bind(server));
  const countListeners = () =>
    [server, process, process.stdout]
      .flatMap((emitter) =>
        emitter.eventNames().map((name) => emitter.listenerCount(name as 'request')),
      )
      .reduce((sum, count) => sum + count, 0);

  await run(warmUp);
  const before = {
    listeners: countListeners(),
    resources: process.getActiveResourcesInfo(),
    heap: heapUsed(),
    opened: sse.stats().opened,
  };
  await run(cycles);
  const { connections, connected, opened } = sse.stats();
  const resources = process.getActiveResourcesInfo();
  for (const resource of before.resources) {
    const at = resources.indexOf(resource);
    if (at >= 0) resources.splice(at, 1);
  }
  const report = {
    sessions: connections + sse.connections.size,
    connected,
    opened: opened - before.opened,
    listeners: countListeners() - before.listeners,
    resources,
    heapBytes: heapUsed() - before.heap,
  };
  await close();
  return report;
}

async function cycle(port: number, index: number): Promise<void> {
  const kind = KINDS[index % KINDS.length]!;
  if (kind === 'close') {
    const client = new SseClient(`http://127.0.0.1:${port}/sse`);
    client.onopen = () => {
      client.send('last');
      client.close();
    };
    await new Promise((resolve) => (client.onclose = resolve));
    return;
  }
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  const target = `/sse?sseClientId=${kind}${index}${kind === 'authorize' ? 'slow' : ''}&sseProtocol=2`;
  const head = `GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
  socket.write(kind === 'headers' ? head.slice(0, 30) : head);
  if (kind === 'fin' || kind === 'rst') await once(socket, 'data');
  else await sleep(5);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  if (kind === 'fin') socket.destroy();
  else socket.resetAndDestroy();
  await closed;
}

/** Returns the size of the heap after garbage collection, or 0 without `--expose-gc`. */
function heapUsed(): number {
  if (!globalThis.gc) return 0;
  for (let i = 0; i < 4; i++) globalThis.gc();
  return process.memoryUsage().heapUsed;
}
