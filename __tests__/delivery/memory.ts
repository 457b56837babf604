import { setTimeout as sleep } from 'node:timers/promises';
import { SseClient } from '../../lib/client/index';
import { ReorderBuffer } from '../../lib/server/reorder-buffer';
import { openServer } from './open-server';

declare const gc: () => void;

const MIB = 1024 * 1024;

/** Measures the heap after a full garbage collection, in bytes. */
async function heapUsed(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    await sleep(50);
    gc();
  }
  return process.memoryUsage().heapUsed;
}

/**
 * Fills a reorder buffer with 16 MiB of messages that all wait for the first one.
 *
 * @returns the growth of the heap as a multiple of the size of the JSON.
 */
export async function measureReorderBuffer(): Promise<number> {
  const receiver = { deliver() {} };
  const buffer = new ReorderBuffer(receiver, 1024, 16 * MIB);
  const before = await heapUsed();
  let bytes = 0;
  for (let number = 1; ; number++) {
    // An array of small objects, whose parsed form takes many times the memory of its text.
    const json = JSON.stringify(Array.from({ length: 500 }, (_, i) => ({ [`k${i}`]: [number] })));
    if (buffer.insert(number, JSON.parse(json), json.length) !== 'buffered') break;
    bytes += json.length;
  }
  const after = await heapUsed();
  buffer.skip(0); // the buffer is in use until here
  return (after - before) / bytes;
}

/**
 * Opens and closes sessions in order, each with data of the application.
 *
 * @returns how many connections remain in memory.
 */
export async function countClosedSessions(count: number): Promise<number> {
  const { sse, port, close } = await openServer({ reconnectTimeout: 3_600_000 });
  let remaining = 0;
  const collected = new FinalizationRegistry(() => remaining--);
  sse.on('connection', (connection) => {
    remaining++;
    collected.register(connection, undefined);
    connection.data = 'x'.repeat(1_000);
    connection.on('message', () => {});
  });
  const openAndClose = () =>
    new Promise<void>((resolve) => {
      const client = new SseClient(`http://127.0.0.1:${port}/sse`);
      client.onopen = () => client.close();
      client.onclose = () => resolve();
    });
  try {
    for (let i = 0; i < count; i += 50) {
      await Promise.all(Array.from({ length: 50 }, openAndClose));
    }
    await heapUsed();
    return remaining;
  } finally {
    await close();
  }
}
