import { setTimeout as sleep } from 'node:timers/promises';
import { SseClient } from '../../lib/client/index';
import { openChannel } from '../helpers/channel';
import { openClient } from '../helpers/client';
import { waitFor } from '../helpers/wait-for';

describe('A client that only receives', () => {
  it('sends keep-alive POSTs, so that the server keeps its stream', async () => {
    // The client posts after 4 idle intervals; the server would drop a silent one after 10.
    const { sse, url } = await openChannel({ heartbeatInterval: 200 });
    const client = openClient(url);
    await waitFor(() => client.readyState === SseClient.OPEN);
    await sleep(3_000);
    expect(sse.stats()).toMatchObject({ connected: 1, opened: 1, resumed: 0 });
  });
});
