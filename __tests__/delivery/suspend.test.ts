import { runSuspension } from './suspend';

// `npm run soak suspend` suspends it for 30 s, with the default heartbeat.
describe("When the client's process is suspended", () => {
  it('keeps the session and loses nothing if it continues before the timeout', async () => {
    const { down, up, close, opened, unacknowledged } = await runSuspension(2_500, 100, 10_000);
    expect(down.received).toEqual(down.sent);
    expect(up.received).toEqual(up.sent);
    expect({ close, opened, unacknowledged }).toEqual({ opened: 1 });
  }, 30_000);

  it('reports the unacknowledged messages on both sides if it continues after the timeout', async () => {
    const { down, up, close, opened, unacknowledged } = await runSuspension(2_500, 100, 300);
    expect(unacknowledged).toEqual(['in flight 0', 'in flight 1', 'in flight 2']);
    expect(up.received).toEqual(['acknowledges all before']);
    expect(close!.code).toBe(1006);
    expect(opened).toBe(2);
    // The server reports what it sent until the session ended, and does not send it again.
    expect(close!.unacknowledged.length).toBeGreaterThan(2);
    expect(close!.unacknowledged).toEqual(down.sent.slice(10, 10 + close!.unacknowledged.length));
    expect(down.received.at(-1)).toBe('after');
  }, 30_000);
});
