import { setTimeout as sleep } from 'node:timers/promises';
import { SseClient } from '../../lib/client/index';
import { waitFor } from '../helpers/wait-for';
import { openServer } from './open-server';

const MIB = 1024 * 1024;

describe('A server that writes through `sink`', () => {
  it.each([
    ['while the connection is paused and blocks the POST with the acknowledgements', MIB, true],
    ['if the limit is smaller than what a client acknowledges at once', 128 * 1024, false],
  ])('never exceeds `maxBufferedAmount` %s', async (_, maxBufferedAmount, isPaused) => {
    const { sse, port, close } = await openServer<string, string>({ maxBufferedAmount });
    const client = new SseClient<string, string>(`http://127.0.0.1:${port}/sse`);
    const received: string[] = [];
    client.onmessage = ({ data }) => received.push(data);
    let code: number | undefined;
    client.onclose = (event) => (code = event.code);
    await waitFor(() => client.readyState === SseClient.OPEN && sse.connections.size === 1);
    const [connection] = [...sse.connections];
    if (isPaused) {
      connection!.pause();
      for (let i = 0; i < 10; i++) client.send('x'.repeat(20_000));
      await waitFor(() => client.bufferedAmount === 0);
      client.send('blocked');
    }

    const message = 'y'.repeat(10_000);
    const count = Math.ceil((4 * maxBufferedAmount) / message.length);
    const writer = connection!.sink.getWriter();
    const written = (async () => {
      for (let i = 0; i < count; i++) await writer.write(message);
    })();
    if (isPaused) {
      await waitFor(() => connection!.unacknowledgedAmount > maxBufferedAmount / 2);
      await sleep(300);
      connection!.on('message', () => {}).resume();
    }
    await written;
    await waitFor(() => received.length === count || code !== undefined);
    expect(code).toBeUndefined();
    expect(received).toEqual(Array.from({ length: count }, () => message));
    await close();
  });
});
