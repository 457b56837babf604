import { Simulation } from './simulation';

const OFFSETS = Array.from({ length: 1_000 }, (_, i) => i * 60);
const BATCH = 50;

/** Loses a stream at the client, and at the server so many milliseconds later. */
async function takeOver(serverToldAfter: number): Promise<void> {
  const simulation = new Simulation({});
  const { clock, network, sessions, connections } = simulation;
  try {
    await clock.advance(5);
    const [end] = connections;
    const events: string[] = [];
    end!.connection.on('disconnect', () => events.push('disconnect'));
    end!.connection.on('reconnect', () => events.push('reconnect'));
    simulation.sendDown(end!, 10);
    network.break({ told: 'client', serverToldAfter }, 'GET');
    simulation.sendDown(end!, 10);
    simulation.sendUp(10);
    await clock.advance(60);
    expect(streamsOf(simulation)).toBe(1);
    simulation.sendDown(end!, 10);
    await clock.advance(serverToldAfter);
    simulation.sendDown(end!, 10);
    simulation.sendUp(10);
    await clock.advance(5);

    expect(simulation.sse.stats()).toMatchObject({
      opened: 1,
      connections: 1,
      connected: 1,
      resumed: 1,
    });
    expect(events).toEqual(['disconnect', 'reconnect']);
    expect(streamsOf(simulation)).toBe(1);
    expect(sessions).toMatchObject([{ sent: 2, received: 5, end: undefined }]);
    expect(connections).toMatchObject([{ sent: 5, received: 2, end: undefined }]);
    expect(simulation.faults).toEqual([]);
  } finally {
    clock.uninstall();
  }
}

/** Streams that the server holds open. */
function streamsOf({ network }: Simulation): number {
  const streams = [...network.links].filter(({ method }) => method === 'GET');
  return streams.filter(({ server }) => !server.destroyed).length;
}

describe('A new GET, before the end of the old stream was noticed', () => {
  const batches = Array.from({ length: OFFSETS.length / BATCH }, (_, i) =>
    OFFSETS.slice(i * BATCH, (i + 1) * BATCH),
  );

  test.each(batches.map((batch) => [batch[0]!, batch.at(-1)!, batch]))(
    'goes on with the session, over one stream, without a close (%d to %d ms)',
    async (_from, _to, batch) => {
      for (const offset of batch) await takeOver(offset);
    },
  );
});
