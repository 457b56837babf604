import { openChannel, openDuplex } from '../helpers/channel';

// `cluster.test.ts` tests the same with several nodes.
describe('In a single process', () => {
  it('a connection has a state, which is undefined at first', async () => {
    const { url, connections } = await openChannel();
    await openDuplex(url);
    const [connection] = connections;
    expect([connection!.state, connection!.recovered]).toEqual([undefined, false]);
    connection!.state = { seen: [1] };
    expect(connection!.state).toEqual({ seen: [1] });
    connection!.state = undefined;
    expect(connection!.state).toBeUndefined();
  });

  it.each([[() => {}], [Symbol('x')], [1n]])(
    'a state that is not JSON-serialisable is a TypeError: %p',
    async (value) => {
      const { url, connections } = await openChannel();
      await openDuplex(url);
      const [connection] = connections;
      connection!.state = 'before';
      expect(() => (connection!.state = value)).toThrow(TypeError);
      expect(connection!.state).toBe('before');
    },
  );

  it('each message has its number, and is not redelivered', async () => {
    const { url, connections } = await openChannel();
    const client = await openDuplex(url);
    const details: unknown[] = [];
    connections[0]!.on('message', (message, each) => details.push([message, each]));
    await client.post({ messages: ['a', 'b'] });
    await client.post({ id: 2, messages: ['c'] });
    expect(details).toEqual(
      ['a', 'b', 'c'].map((message, number) => [message, { number, redelivered: false }]),
    );
  });

  it('a message can be sent to the session with an id, and is discarded if there is none', async () => {
    const { sse, url } = await openChannel();
    const a = await openDuplex(url, 'a');
    const b = await openDuplex(url, 'b');
    sse.session('a').send('x');
    sse.session('nobody').send('y');
    expect(await a.stream.takeData()).toBe('x');
    expect([a.stream.waiting(), b.stream.waiting()]).toEqual([0, 0]);
    expect(() => sse.session(5 as never)).toThrow(
      new TypeError('a session id is a string, not number'),
    );
    expect(() => sse.session('nobody').send(undefined)).toThrow(TypeError);
  });
});
