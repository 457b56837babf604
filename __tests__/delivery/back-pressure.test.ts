import { setTimeout as sleep } from 'node:timers/promises';
import { SseClient } from '../../lib/client/index';
import { openChannel } from '../helpers/channel';
import { messagesOf, openClient } from '../helpers/client';
import { waitFor } from '../helpers/wait-for';

const MIB = 1024 * 1024;

describe('A server that writes through `sink`', () => {
  it.each([
    ['while the connection is paused and blocks the POST with the acknowledgements', MIB, true],
    ['if the limit is smaller than what a client acknowledges at once', 128 * 1024, false],
  ])('never exceeds `maxBufferedAmount` %s', async (_, maxBufferedAmount, isPaused) => {
    const { connections, url } = await openChannel({ maxBufferedAmount });
    const client = openClient(url);
    const received = messagesOf(client);
    let code: number | undefined;
    client.onclose = (event) => (code = event.code);
    await waitFor(() => client.readyState === SseClient.OPEN && connections.length === 1);
    const [connection] = connections;
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
  });
});
