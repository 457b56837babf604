import { seeds } from '../../helpers/random';
import { startHaproxy } from './haproxy';
import { runSilence, runTraffic } from './traffic';

// The heartbeat is the default: 15 s.
describe.each(seeds(1))('Behind HAProxy (SEED=%d) that cuts what is silent', (seed) => {
  it.concurrent(
    'for 3 s, the channel is cut again and again, and delivers 10,000 messages each way once, in order',
    async () => {
      const { up, down, events, opened, resumed } = await runTraffic(
        (port) => startHaproxy(port, 3_000),
        { seed, messages: 10_000, cuts: 4, cutAfter: 3_000 },
      );
      for (const way of [up, down]) {
        expect(way.sent).toBeGreaterThanOrEqual(10_000);
        expect(way.received).toBe(way.sent);
        expect(way.receivedHash).toBe(way.sentHash);
      }
      expect(new Set(events)).toEqual(new Set(['open', 'disconnect', 'reconnect']));
      expect(resumed).toBeGreaterThanOrEqual(4);
      expect(opened).toBe(1);
    },
    60_000,
  );

  it.concurrent(
    'for 30 s, it delivers as many over one stream',
    async () => {
      const { up, down, events } = await runTraffic((port) => startHaproxy(port, 30_000), {
        seed,
        messages: 10_000,
      });
      for (const way of [up, down]) {
        expect(way).toMatchObject({ sent: 10_000, received: 10_000 });
        expect(way.receivedHash).toBe(way.sentHash);
      }
      expect(events).toEqual(['open']);
    },
    60_000,
  );

  it.concurrent(
    'for 30 s, it stands, by its heartbeats',
    async () => {
      const events = await runSilence((port) => startHaproxy(port, 30_000), 35_000);
      expect(events).toEqual(['open']);
    },
    60_000,
  );
});
