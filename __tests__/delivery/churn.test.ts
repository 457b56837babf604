import { runChurn } from './churn';

// 10,000 cycles, and the heap: `npm run soak churn`.
describe('After 300 connections that closed, ended, were reset, or left half-way, the server', () => {
  it('holds nothing of them', async () => {
    const { sessions, connected, opened, listeners, resources } = await runChurn({
      cycles: 300,
      warmUp: 50,
    });
    // Those that left during `authorize` or before their headers opened none.
    expect(opened).toBe(180);
    expect({ sessions, connected, listeners, resources }).toEqual({
      sessions: 0,
      connected: 0,
      listeners: 0,
      resources: [],
    });
  }, 30_000);
});
