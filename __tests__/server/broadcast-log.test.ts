import { openDuplex } from '../helpers/channel';
import { startNode, stopNode } from '../helpers/cluster';
import { createFaultyEngine } from '../helpers/faulty-engine';
import { MemoryEngine, MemoryStore } from '../helpers/memory-engine';
import { onTestFinished } from '../helpers/on-test-finished';
import { waitFor } from '../helpers/wait-for';

it('What a listener sends while postponed messages are sent follows those that still wait', async () => {
  const engine = createFaultyEngine(new MemoryEngine(new MemoryStore()));
  const node = await startNode(engine, { maxBufferedAmount: 1_000, reconnectJitter: 1 });
  onTestFinished(async () => {
    await stopNode(node);
    await node.sse.close();
  });
  await openDuplex(node.url, 'a');
  const { stream } = await openDuplex(node.url, 'b');
  const [a, b] = node.connections;
  const closes: unknown[] = [];
  a!.on('close', (code) => {
    closes.push(code);
    b!.send('in the listener');
  });
  node.sse.broadcast('broadcast');
  a!.send('x'.repeat(2_000)); // exceeds the limit, which closes the session
  b!.send('postponed');
  await waitFor(() => closes.length === 1);
  const received = [await stream.takeData(), await stream.takeData(), await stream.takeData()];
  expect(received).toEqual(['broadcast', 'postponed', 'in the listener']);
  expect(closes).toEqual([1008]);
});
