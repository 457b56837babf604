import { setTimeout as sleep } from 'node:timers/promises';
import { describeDartCluster } from '../helpers/cluster-dart-suite';
import { startFaultyNode } from '../helpers/faulty-nodes';
import { openStream, post } from '../helpers/http';
import { MemoryEngine, MemoryStore, openMemory } from '../helpers/memory-engine';

describeDartCluster('an engine in memory', openMemory);

it('A node repeats a call for a message that waits for the engine less and less often', async () => {
  const { engine, node } = await startFaultyNode(new MemoryEngine(new MemoryStore()));
  const url = `${node.url}?sseClientId=a`;
  await openStream(url);
  let calls = 0;
  engine.fault = (method) => {
    if (method === 'takeMessage') calls++;
    return 'lose';
  };
  const sending = post(`${url}&messageId=0`, '"x"');
  await sleep(1_000);
  engine.fault = () => 'none';
  expect((await sending).json).toEqual({ received: 1 });
  expect(calls).toBeGreaterThan(1);
  expect(calls).toBeLessThan(7);
});
