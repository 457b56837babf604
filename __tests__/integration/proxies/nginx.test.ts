import { seeds } from '../../helpers/random';
import { startNginx } from './nginx';
import { measureFirstMessages, runSilence, runTraffic } from './traffic';

describe('Behind nginx with its defaults (it buffers, and asks in HTTP/1.0), the channel', () => {
  it('brings the first message within 200 ms of the request', async () => {
    const times = await measureFirstMessages(startNginx, 9);
    const [median] = times.sort((a, b) => a - b).slice(4);
    expect(median).toBeLessThan(200);
  }, 30_000);

  it.each(seeds(1))(
    'delivers 10,000 messages each way once, in order (SEED=%d)',
    async (seed) => {
      const { up, down, events, opened } = await runTraffic(startNginx, { seed, messages: 10_000 });
      for (const way of [up, down]) {
        expect(way).toMatchObject({ sent: 10_000, received: 10_000 });
        expect(way.receivedHash).toBe(way.sentHash);
      }
      expect(events).toEqual(['open']);
      expect(opened).toBe(1);
    },
    60_000,
  );
});

// Five minutes of nginx's own 60 s: the soak beside this file.
describe('Behind nginx that cuts what is silent for 2 s, the channel', () => {
  it('stands for 10 s with a heartbeat of 1 s', async () => {
    const startImpatient = (port: number) =>
      startNginx(port, { location: 'proxy_read_timeout 2s;' });
    const events = await runSilence(startImpatient, 10_000, { heartbeatInterval: 1_000 });
    expect(events).toEqual(['open']);
  }, 20_000);
});
