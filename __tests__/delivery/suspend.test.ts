import { runSuspension } from './suspend';

// 30 s, with the standard heartbeat: `npm run soak suspend`.
describe("When the client's process is suspended", () => {
  it('loses nothing, in the same session, if it is back in time', async () => {
    const { down, up, close, opened, unacknowledged } = await runSuspension(2_500, 100, 10_000);
    expect(down.received).toEqual(down.sent);
    expect(up.received).toEqual(up.sent);
    expect({ close, opened, unacknowledged }).toEqual({ opened: 1 });
  }, 30_000);

  it('tells both sides what was lost, to the message, if it is not', async () => {
    const { down, up, close, opened, unacknowledged } = await runSuspension(2_500, 100, 300);
    expect(unacknowledged).toEqual(['under way 0', 'under way 1', 'under way 2']);
    expect(up.received).toEqual(['with an acknowledgement of all that']);
    expect(close!.code).toBe(1006);
    expect(opened).toBe(2);
    // The server counts as lost what was sent until it gave up, and sends nothing of it again.
    expect(close!.unacknowledged.length).toBeGreaterThan(2);
    expect(close!.unacknowledged).toEqual(down.sent.slice(10, 10 + close!.unacknowledged.length));
    const got = new Set(down.received);
    const missing = down.sent
      .slice(0, 10 + close!.unacknowledged.length)
      .filter((m) => !got.has(m));
    expect(close!.unacknowledged).toEqual(expect.arrayContaining(missing));
    expect(down.received.at(-1)).toBe('after');
  }, 30_000);
});
