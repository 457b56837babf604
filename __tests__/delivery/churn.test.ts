import { runChurn } from './churn';

// `npm run soak churn` runs 10,000 cycles and measures the heap as well.
describe('After 300 clients that closed, ended, were reset or left while connecting, the server', () => {
  it('holds no session, listener or resource of them', async () => {
    const { sessions, connected, opened, listeners, resources } = await runChurn({
      cycles: 300,
      warmUp: 50,
    });
    // Two of the five kinds of client leave before a session is opened.
    expect(opened).toBe(180);
    expect({ sessions, connected, listeners, resources }).toEqual({
      sessions: 0,
      connected: 0,
      listeners: 0,
      resources: [],
    });
  }, 30_000);
});
