import { setTimeout as sleep } from 'node:timers/promises';
import { SseClient } from '../../lib/client/index';
import { waitFor } from '../helpers/wait-for';
import { openServer } from './open-server';

describe('A client that only receives', () => {
  it('shows its signs of life: the server keeps its stream', async () => {
    // Idle after 4 heartbeats, taken for dead after 10.
    const { sse, port, close } = await openServer({ heartbeatInterval: 200 });
    const client = new SseClient(`http://127.0.0.1:${port}/sse`, { backoff: () => 1 });
    await waitFor(() => client.readyState === SseClient.OPEN);
    await sleep(3_000);
    expect(sse.stats()).toMatchObject({ connected: 1, opened: 1, resumed: 0 });
    client.close();
    await waitFor(() => client.readyState === SseClient.CLOSED);
    await close();
  });
});
