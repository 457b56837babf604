import { Simulation } from './simulation';

/**
 * Breaks a stream so that the client notices at once and the server only after `serverNoticesAfter`
 * milliseconds, and expects the client's next GET to take the session over.
 */
export async function takeOver(serverNoticesAfter: number): Promise<void> {
  const simulation = new Simulation({});
  const { clock, network, sessions, connections } = simulation;
  try {
    await clock.advance(5);
    const [end] = connections;
    const events: string[] = [];
    end!.connection.on('disconnect', () => events.push('disconnect'));
    end!.connection.on('reconnect', () => events.push('reconnect'));
    simulation.sendDown(end!, 10);
    network.break({ noticedBy: 'client', serverNoticesAfter }, 'GET');
    simulation.sendDown(end!, 10);
    simulation.sendUp(10);
    await clock.advance(60);
    expect(countStreams(simulation)).toBe(1);
    simulation.sendDown(end!, 10);
    await clock.advance(serverNoticesAfter);
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
    expect(countStreams(simulation)).toBe(1);
    expect(sessions).toMatchObject([{ sent: 2, received: 5, end: undefined }]);
    expect(connections).toMatchObject([{ sent: 5, received: 2, end: undefined }]);
    expect(simulation.violations).toEqual([]);
  } finally {
    clock.uninstall();
  }
}

/** Returns the number of streams that the server holds open. */
function countStreams({ network }: Simulation): number {
  const streams = [...network.links].filter(({ method }) => method === 'GET');
  return streams.filter(({ server }) => !server.destroyed).length;
}
