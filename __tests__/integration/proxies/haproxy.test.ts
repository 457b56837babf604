import { seeds } from '../../helpers/random';
import { startHaproxy } from './haproxy';
import { runSilence, runTraffic } from './traffic';

// The heartbeat interval is the default, 15 s.
describe.each(seeds(1))('Behind HAProxy with a timeout (SEED=%d), the channel', (seed) => {
  it.concurrent(
    'of 3 s is cut repeatedly and delivers 10,000 messages in each direction once and in order',
    async () => {
      const { up, down, events, opened, resumed } = await runTraffic(
        (port) => startHaproxy(port, 3_000),
        { seed, messages: 10_000, cuts: 4, cutAfter: 3_000 },
      );
      for (const direction of [up, down]) {
        expect(direction.sent).toBeGreaterThanOrEqual(10_000);
        expect(direction.received).toBe(direction.sent);
        expect(direction.receivedHash).toBe(direction.sentHash);
      }
      // HAProxy may close a kept-alive connection just when a GET is sent on it: the client reports that as `error`,
      // because it cannot know why, and repeats the GET. That happens at most once for each lost stream.
      const countOf = (type: string) => events.filter((event) => event === type).length;
      expect(countOf('error')).toBeLessThanOrEqual(countOf('disconnect'));
      const others = events.filter((event) => event !== 'error');
      expect(new Set(others)).toEqual(new Set(['open', 'disconnect', 'reconnect']));
      expect(countOf('reconnect')).toBe(countOf('disconnect'));
      expect(resumed).toBeGreaterThanOrEqual(4);
      expect(opened).toBe(1);
    },
    60_000,
  );

  it.concurrent(
    'of 30 s delivers 10,000 messages in each direction over one stream',
    async () => {
      const { up, down, events } = await runTraffic((port) => startHaproxy(port, 30_000), {
        seed,
        messages: 10_000,
      });
      for (const direction of [up, down]) {
        expect(direction).toMatchObject({ sent: 10_000, received: 10_000 });
        expect(direction.receivedHash).toBe(direction.sentHash);
      }
      expect(events).toEqual(['open']);
    },
    60_000,
  );

  it.concurrent(
    'of 30 s stays open for 35 s without messages, because of its heartbeats',
    async () => {
      const events = await runSilence((port) => startHaproxy(port, 30_000), 35_000);
      expect(events).toEqual(['open']);
    },
    60_000,
  );
});
