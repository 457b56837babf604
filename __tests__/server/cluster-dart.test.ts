import { setTimeout as sleep } from 'node:timers/promises';
import { describeDartCluster } from '../helpers/cluster-dart-suite';
import { startFaultyNode } from '../helpers/faulty-nodes';
import { openStream, post } from '../helpers/http';
import { MemoryEngine, MemoryStore, openMemory } from '../helpers/memory-engine';
import { waitFor } from '../helpers/wait-for';

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

it('A node does not repeat a commit of a session after it has removed the session', async () => {
  const { engine, node } = await startFaultyNode(new MemoryEngine(new MemoryStore()));
  const url = `${node.url}?sseClientId=a`;
  const stream = await openStream(url);
  await stream.take(); // hello
  let isFailing = true;
  let isRemoved = false;
  const commits: boolean[] = [];
  engine.fault = (method) => {
    if (method !== 'commit') return 'none';
    commits.push(isFailing);
    return isFailing ? 'lose' : 'none';
  };
  engine.onApplied = (method) => {
    isRemoved ||= method === 'remove';
  };
  node.connections[0]!.close();
  await waitFor(() => isRemoved, 5_000);
  await openStream(url); // a session with the same id and epoch
  isFailing = false;
  await sleep(1_500); // A node repeats a failed call after a second at the latest.
  expect(commits.length).toBeGreaterThan(0);
  expect(commits).not.toContain(false);
}, 10_000);

it('A node opens a session with the id of an earlier one after it has removed the earlier one', async () => {
  const { engine, node } = await startFaultyNode(new MemoryEngine(new MemoryStore()));
  const url = `${node.url}?sseClientId=a`;
  const stream = await openStream(url);
  await stream.take(); // hello
  const steps: string[] = [];
  engine.fault = (method) => {
    if (method === 'open' || method === 'remove') steps.push(method);
    return 'none';
  };
  engine.onApplied = (method) => {
    if (method === 'remove') steps.push('removed');
  };
  engine.delay = () => 500;
  node.connections[0]!.close();
  await waitFor(() => steps.length > 0);
  expect((await openStream(url)).status).toBe(200);
  expect(steps).toEqual(['remove', 'removed', 'open']);
});
