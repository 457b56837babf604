import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'redis';
import { SseClient } from '../../lib/client/index';
import { redisCluster } from '../../lib/redis/index';
import { openClient, next } from '../helpers/client';
import { startNode, stopNode } from '../helpers/cluster';
import { createFaultyEngine } from '../helpers/faulty-engine';
import { onTestFinished } from '../helpers/on-test-finished';
import type { Program } from '../helpers/programs';
import { compileProcess } from '../helpers/processes';
import { connectRedis, startRedis } from '../helpers/redis';
import { waitFor } from '../helpers/wait-for';

let redis: Program;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

const ENGINE = { lease: 3_000 };

it('The sessions of a killed node are adopted when its lease has expired, and closed if their clients stay away', async () => {
  const compiled = compileProcess('__tests__/cluster/processes/node.ts');
  onTestFinished(() => compiled.remove());
  const { process: child, ready } = await compiled.start([
    redis.port,
    'redis',
    JSON.stringify(ENGINE),
    '{}',
  ]);
  const admin = await connectRedis('redis', redis.port);
  const observer = createClient({ url: `redis://127.0.0.1:${redis.port}` });
  await observer.connect();
  onTestFinished(() => observer.destroy());
  const engines = [0, 1].map(() => createFaultyEngine(redisCluster(admin, ENGINE)));
  const nodes = await Promise.all(
    engines.map((engine) => startNode(engine, { reconnectTimeout: 500 })),
  );
  onTestFinished(async () => {
    for (const node of nodes) {
      await node.sse.close();
      await stopNode(node);
    }
  });
  const client = openClient(`http://127.0.0.1:${String(ready)}/sse`, { renewSession: false });
  await next(client, 'open');
  const closes = nodes.map(({ sse }) => {
    const list: unknown[][] = [];
    sse.on('connection', (connection) => {
      connection.on('message', () => {});
      connection.on('close', (code, reason) => {
        list.push([
          code,
          reason,
          connection.recovered,
          connection.rooms,
          connection.request.headers,
        ]);
      });
    });
    return list;
  });
  await sleep(100); // for the room
  child.kill('SIGKILL');
  await waitFor(() => closes.flat().length > 0, 10_000);
  await sleep(1_500); // the other node does not close it again
  expect(closes.flat()).toEqual([
    [1006, 'the client did not reconnect within 500 ms', true, ['all'], {}],
  ]);
  const keys = await observer.keys('*{sse-*');
  expect(keys).toEqual([]);
  expect(client.readyState).not.toBe(SseClient.CLOSED);
}, 30_000);
