import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { SseClient } from '../../lib/client/index';
import { waitFor } from '../helpers/wait-for';
import { openServer } from './open-server';

export interface ChurnOptions {
  cycles: number;
  /** Cycles before the start is measured, so that what is compiled and cached once is there. */
  warmUp: number;
}

export interface ChurnReport {
  /** What stands afterwards: `stats()`, of which `opened` is how many sessions there were. */
  sessions: number;
  connected: number;
  opened: number;
  /** Above the start. */
  listeners: number;
  resources: string[];
  heapBytes: number;
}

/** Ways to come and go. */
const WAYS = ['close', 'fin', 'rst', 'authorize', 'headers'] as const;
/** At a time. */
const LANES = 20;

/** Opens and ends connections in every way, and tells what is left of them. */
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
    // Node's fetch keeps a connection that it opened and did not need after all for 4 s.
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
  const way = WAYS[index % WAYS.length]!;
  if (way === 'close') {
    const client = new SseClient(`http://127.0.0.1:${port}/sse`);
    client.onopen = () => {
      client.send('good-bye');
      client.close();
    };
    await new Promise((resolve) => (client.onclose = resolve));
    return;
  }
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  const target = `/sse?sseClientId=${way}${index}${way === 'authorize' ? 'slow' : ''}&sseProtocol=2`;
  const head = `GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
  socket.write(way === 'headers' ? head.slice(0, 30) : head);
  if (way === 'fin' || way === 'rst') await once(socket, 'data');
  else await sleep(5);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  if (way === 'fin') socket.destroy();
  else socket.resetAndDestroy();
  await closed;
}

/** 0 where there is no `gc` to tell it by. */
function heapUsed(): number {
  if (!globalThis.gc) return 0;
  for (let i = 0; i < 4; i++) globalThis.gc();
  return process.memoryUsage().heapUsed;
}
