import { seeds } from '../../helpers/random';
import { startNginx } from './nginx';
import { runSilence, runTraffic } from './traffic';

// By default nginx buffers responses and sends requests in HTTP/1.0. `npm run soak proxies` measures the
// time to the first message.
describe('Behind nginx with its default settings, the channel', () => {
  it.each(seeds(1))(
    'delivers 10,000 messages in each direction once and in order (SEED=%d)',
    async (seed) => {
      const { up, down, events, opened } = await runTraffic(startNginx, { seed, messages: 10_000 });
      for (const direction of [up, down]) {
        expect(direction).toMatchObject({ sent: 10_000, received: 10_000 });
        expect(direction.receivedHash).toBe(direction.sentHash);
      }
      expect(events).toEqual(['open']);
      expect(opened).toBe(1);
    },
    60_000,
  );
});

// `npm run soak proxies` takes five minutes with nginx's default timeout of 60 s.
describe('Behind nginx that closes silent connections after 2 s, the channel', () => {
  it('stays open for 10 s with a heartbeat interval of 1 s', async () => {
    const startProxy = (port: number) => startNginx(port, { location: 'proxy_read_timeout 2s;' });
    const events = await runSilence(startProxy, 10_000, { heartbeatInterval: 1_000 });
    expect(events).toEqual(['open']);
  }, 20_000);
});
