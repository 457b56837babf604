import { runFlood } from './flood';
import { runSlowBodies } from './slow-bodies';

const MIB = 1024 * 1024;

// `npm run soak slow-bodies` measures the times as well.
describe('A server with 1,000 clients that send their bodies byte by byte', () => {
  it('responds to each with 408 and serves another client meanwhile', async () => {
    const { statuses, echoes } = await runSlowBodies(1_000, 200, { bodyTimeout: 1_000 });
    expect(statuses).toEqual({ 408: 1_000 });
    expect(echoes).toBeGreaterThan(0);
  }, 60_000);
});

describe('A server that receives 51,000 POSTs with unknown ids or numbers out of the window', () => {
  it('rejects all of them and keeps no memory of them', async () => {
    const { statuses, growth, responses } = await runFlood(9_000, 51_000);
    expect(statuses).toEqual({ 404: 17_000, 409: 34_000 });
    expect(growth).toBeLessThan(32 * MIB);
    expect(responses).toEqual([{ received: 1 }, { received: 1 }]);
  }, 120_000);
});
