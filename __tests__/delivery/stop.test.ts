import { runStop } from './stop';

// `npm run soak stop` has 1,000 clients and measures how their reconnections are spread over time.
describe('When a server with 50 clients shuts down gracefully', () => {
  it('exits with 0, loses no message, and each client reconnects to the next server', async () => {
    const report = await runStop({ clients: 50, drainTimeout: 3_000, reconnectJitter: 1_000 });
    const { exitCode, lostDown, lostUp, unacknowledged, returns, ends } = report;
    expect({ exitCode, lostDown, lostUp, unacknowledged, ends }).toEqual({
      exitCode: 0,
      lostDown: 0,
      lostUp: 0,
      unacknowledged: 0,
      ends: [],
    });
    expect(returns).toHaveLength(50);
  }, 30_000);
});
