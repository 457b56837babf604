import { setTimeout as sleep } from 'node:timers/promises';
import { SseClient } from '../../lib/client/index';
import { waitFor } from '../helpers/wait-for';
import { openServer } from './open-server';

describe('A client that only receives', () => {
  it('sends keep-alive POSTs, so that the server keeps its stream', async () => {
    // The client posts after 4 idle intervals; the server would drop a silent one after 10.
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
