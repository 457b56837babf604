import { openChannel, openDuplex, record } from '../helpers/channel';
import type { Connection } from '../helpers/channel';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { onTestFinished } from '../helpers/on-test-finished';
import { waitFor } from '../helpers/wait-for';

async function openOne(options: Parameters<typeof openChannel>[0] = {}) {
  const channel = await openChannel(options);
  const client = await openDuplex(channel.url);
  return { ...channel, client, connection: channel.connections[0]! };
}

/** Cuts the client's stream, and waits until the server has noticed. */
async function lose({ client, connection }: Awaited<ReturnType<typeof openOne>>): Promise<void> {
  client.stream.cut();
  await waitFor(() => !connection.connected);
}

describe('Session in the duplex dialect, receiving', () => {
  it('delivers a batch in order, and responds with the number of messages received', async () => {
    const { client, connection } = await openOne();
    const messages = record(connection, 'message');
    const reply = await client.post({ messages: ['a', { b: [1] }, null, false] });
    expect([reply.status, reply.json]).toEqual([200, { received: 4 }]);
    expect(reply.headers).toMatchObject({
      'content-type': 'application/json',
      'cache-control': 'no-store',
    });
    expect(messages).toEqual([['a'], [{ b: [1] }], [null], [false]]);
  });

  it('ignores messages that it has received before', async () => {
    const { client, connection } = await openOne();
    const messages = record(connection, 'message');
    await client.post({ messages: [0, 1] });
    expect((await client.post({ messages: [0, 1] })).json).toEqual({ received: 2 });
    expect((await client.post({ messages: [0, 1, 2] })).json).toEqual({ received: 3 });
    expect((await client.post({ id: 2, messages: [2, 3] })).json).toEqual({ received: 4 });
    expect(messages.flat()).toEqual([0, 1, 2, 3]);
  });

  it('buffers a batch that arrives early until those before it have arrived', async () => {
    const { client, connection } = await openOne();
    const messages = record(connection, 'message');
    expect((await client.post({ id: 2, messages: [2, 3] })).json).toEqual({ received: 0 });
    expect((await client.post({ id: 1, messages: [1] })).json).toEqual({ received: 0 });
    expect(messages).toEqual([]);
    expect((await client.post({ messages: [0] })).json).toEqual({ received: 4 });
    expect(messages.flat()).toEqual([0, 1, 2, 3]);
  });

  it('rejects messages outside the reorder window with 409, and accepts them later', async () => {
    const { client, connection } = await openOne({ reorderWindow: 2 });
    const messages = record(connection, 'message');
    const reply = await client.post({ id: 2, messages: [2, 3] });
    expect([reply.status, reply.json]).toEqual([
      409,
      {
        code: 'out-of-window',
        message: expect.stringMatching(
          /^message 2 is outside the window: the next expected number is 0, .*"reorderWindow"/,
        ) as string,
      },
    ]);
    expect((await client.post({ messages: [0, 1, 2, 3] })).json).toEqual({ received: 4 });
    expect(messages.flat()).toEqual([0, 1, 2, 3]);
  });

  it('accepts an envelope without messages', async () => {
    const { client } = await openOne();
    expect((await client.post()).json).toEqual({ received: 0 });
  });

  it('rejects an acknowledgement of messages that were not sent with 400, and stays open', async () => {
    const { client, connection } = await openOne();
    const messages = record(connection, 'message');
    connection.send('a');
    const { status, json } = await client.post({ ack: 2, messages: ['x'] });
    expect([status, json]).toEqual([
      400,
      { code: 'bad-request', message: '"ack" is 2, but only 1 messages were sent' },
    ]);
    expect(messages).toEqual([]);
    expect(connection.readyState).toBe(1);
  });

  it('writes the replies to a message before the response to its POST', async () => {
    const unwritten: number[] = [];
    const { url, connections } = await openChannel({}, (app) => {
      app.use(({ method }, response, next) => {
        if (method === 'POST') {
          response.on('prefinish', () => unwritten.push(connections[0]!.bufferedAmount));
        }
        next();
      });
    });
    const client = await openDuplex(url);
    connections[0]!.on('message', (message) => connections[0]!.send(message));
    await client.post({ messages: ['a', 'b'] });
    expect(unwritten).toEqual([0]);
    expect([await client.stream.takeData(), await client.stream.takeData()]).toEqual(['a', 'b']);
  });
});

describe('Session in the duplex dialect, sending', () => {
  it.each([
    [{}, 262_144],
    [{ maxBufferedAmount: 800 }, 100],
    [{ maxBufferedAmount: 1 }, 1],
  ])(
    'begins its stream with a hello of the limits that follow from the options %j, %i bytes for ackAfter',
    async (options, bytes) => {
      const { client } = await openOne(options);
      expect(client.hello).toEqual({
        token: expect.any(String) as string,
        resumed: false,
        sent: 0,
        received: 0,
        heartbeat: 15_000,
        ackAfter: { messages: 2048, bytes, idle: 60_000 },
        maxPayload: 262_144,
      });
    },
  );

  it('sends messages in order, each as a data line of JSON without an id', async () => {
    const { client, connection } = await openOne();
    const before = client.stream.text().length;
    expect(connection.send('a')).toBe(true);
    connection.send({ b: '\n' });
    connection.send(null);
    await waitFor(() => client.stream.waiting() === 3);
    expect(client.stream.text().slice(before)).toBe(
      'data: "a"\n\ndata: {"b":"\\n"}\n\ndata: null\n\n',
    );
  });

  it('pings once per heartbeat interval with both counts', async () => {
    const { client, connection } = await openOne({ heartbeatInterval: 30 });
    expect(await client.stream.take()).toEqual({ event: 'ping', data: '{"sent":0,"received":0}' });
    connection.send('x');
    await client.post({ messages: [1, 2] });
    await waitFor(() =>
      client.stream.text().includes('event: ping\ndata: {"sent":1,"received":2}\n\n'),
    );
  });

  it('releases the messages that a POST acknowledges', async () => {
    const { client, connection } = await openOne();
    'abc'.split('').forEach((text) => connection.send(text));
    const size = 'data: "a"\n\n'.length;
    expect(connection.unacknowledgedAmount).toBe(3 * size);
    await client.post({ ack: 2 });
    expect(connection.unacknowledgedAmount).toBe(size);
    await client.post({ ack: 1 }); // one that was overtaken
    expect(connection.unacknowledgedAmount).toBe(size);
  });

  it('closes the stream of a client that sends nothing for 2.5 idle intervals', async () => {
    const { client, connection } = await openOneWithFakeClock(1000);
    const disconnects = record(connection, 'disconnect');
    jest.advanceTimersByTime(9_000);
    await client.post(); // a sign of life
    jest.advanceTimersByTime(10_000);
    await client.post({ messages: ['a'] }); // the stream would have been closed by now
    expect(disconnects).toHaveLength(0);
    jest.advanceTimersByTime(11_000);
    await waitFor(() => disconnects.length > 0);
    expect(connection.readyState).toBe(1);
  });

  it('counts a reconnection as activity of the client', async () => {
    const all = await openOneWithFakeClock(1000);
    jest.advanceTimersByTime(9_000);
    await lose(all);
    const stream = await all.client.resume(0);
    const disconnects = record(all.connection, 'disconnect');
    jest.advanceTimersByTime(10_000);
    await all.client.post(); // the stream would have been closed by now
    expect(disconnects).toHaveLength(0);
    expect(stream.waiting()).toBeGreaterThan(0);
  });

  it('does not ping while its stream is lost', async () => {
    const all = await openOneWithFakeClock(1000);
    await lose(all);
    jest.advanceTimersByTime(1_000);
    const stream = await all.client.resume(0);
    expect(await stream.takeData()).toMatchObject({ resumed: true, sent: 0 });
    all.connection.send('x');
    expect(await stream.takeData()).toBe('x');
  });

  it('does not queue pings on a stream that is stalled', async () => {
    const { client, connection } = await openOneWithFakeClock(1000);
    client.stream.pause();
    connection.send('x'.repeat(8 << 20));
    await turn();
    jest.advanceTimersByTime(3_000);
    client.stream.resume();
    await client.stream.take();
    connection.send('y');
    expect(await client.stream.take()).toEqual({ data: '"y"' });
  });

  async function openOneWithFakeClock(heartbeatInterval: number) {
    const channel = await openChannel({ heartbeatInterval });
    useFakeTimeouts('performance');
    const client = await openDuplex(channel.url);
    return { ...channel, client, connection: channel.connections[0]! };
  }
});

describe('Session in the duplex dialect, after its stream was lost', () => {
  it('keeps messages, and continues after those that the client has received', async () => {
    const all = await openOne();
    const { client, connection } = all;
    const events = ['disconnect', 'reconnect'].map((event) => record(connection, event));
    connection.send(1);
    connection.send(2);
    await client.stream.take();
    await client.post({ messages: ['x'] });
    await lose(all);
    expect([connection.readyState, connection.connected]).toEqual([1, false]);
    connection.send(3);
    const stream = await client.resume(1);
    expect(await stream.takeData()).toMatchObject({
      token: client.token,
      resumed: true,
      sent: 1,
      received: 1,
    });
    expect([await stream.takeData(), await stream.takeData()]).toEqual([2, 3]);
    expect(connection.connected).toBe(true);
    expect(events).toEqual([[[]], [[]]]);
    connection.send(4);
    expect(await stream.takeData()).toBe(4);
  });

  it('reports the number of messages received when the client reconnects', async () => {
    const all = await openOne();
    record(all.connection, 'message');
    await all.client.post({ messages: ['x', 'y'] });
    await lose(all);
    const stream = await all.client.resume(0);
    expect(await stream.takeData()).toMatchObject({ received: 2 });
  });

  it('accepts POSTs while its stream is lost', async () => {
    const all = await openOne();
    const messages = record(all.connection, 'message');
    await lose(all);
    expect((await all.client.post({ messages: ['x'] })).json).toEqual({ received: 1 });
    expect(messages).toEqual([['x']]);
  });

  it('writes unacknowledged messages again on every stream', async () => {
    const all = await openOne();
    const { client, connection } = all;
    'abc'.split('').forEach((text) => connection.send(text));
    for (const received of [0, 0, 1, 3]) {
      const stream = await client.resume(received);
      expect(await stream.takeData()).toMatchObject({ sent: received });
      for (const text of 'abc'.slice(received)) expect(await stream.takeData()).toBe(text);
    }
    expect(connection.unacknowledgedAmount).toBe(0);
  });

  it('does not write messages that a POST acknowledged before the client reconnected', async () => {
    const all = await openOne();
    const { client, connection } = all;
    connection.send('a');
    await client.stream.take();
    await lose(all);
    await client.post({ ack: 1 });
    connection.send('b');
    const stream = await client.resume(1);
    await stream.take();
    expect(await stream.takeData()).toBe('b');
  });

  it('closes with 1006 after reconnectTimeout', async () => {
    const all = await openOne({ reconnectTimeout: 5_000 });
    const { connection, client, sse } = all;
    const closes = record(connection, 'close');
    useFakeTimeouts();
    connection.send('a');
    connection.send('b');
    await client.post({ ack: 1 });
    await lose(all);
    connection.send('c');
    jest.advanceTimersByTime(4_999);
    expect(closes).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(closes).toEqual([
      [1006, 'the client did not reconnect within 5000 ms', { unacknowledged: ['b', 'c'] }],
    ]);
    expect([connection.readyState, sse.connections.size]).toEqual([3, 0]);
    expect((await client.resume(1)).status).toBe(404);
    expect((await client.post({ ack: 1 })).status).toBe(404);
  });

  it('stays open if the client reconnects before reconnectTimeout', async () => {
    const all = await openOne({ reconnectTimeout: 5_000 });
    const closes = record(all.connection, 'close');
    useFakeTimeouts();
    await lose(all);
    jest.advanceTimersByTime(4_999);
    const stream = await all.client.resume(0);
    await stream.take();
    jest.advanceTimersByTime(60_000);
    expect(closes).toEqual([]);
    expect(all.connection.connected).toBe(true);
  });

  it('closes immediately with reconnectTimeout 0', async () => {
    const all = await openOne({ reconnectTimeout: 0 });
    const closes = record(all.connection, 'close');
    await lose(all);
    expect(closes).toEqual([[1006, expect.any(String), { unacknowledged: [] }]]);
    expect(all.sse.connections.size).toBe(0);
  });
});

describe('Session in the duplex dialect, resumed while its previous stream is open', () => {
  it('closes the previous stream, emits disconnect and reconnect, and continues on the new one', async () => {
    const { client, connection } = await openOne();
    const events: string[] = [];
    connection.on('disconnect', () =>
      events.push(`disconnect, connected: ${connection.connected}`),
    );
    connection.on('reconnect', () => events.push(`reconnect, connected: ${connection.connected}`));
    connection.on('close', () => events.push('close'));
    connection.send('a');
    await client.stream.take();
    const stream = await client.resume(1);
    expect(await stream.takeData()).toMatchObject({ resumed: true, sent: 1 });
    await client.stream.ended;
    expect(events).toEqual(['disconnect, connected: true', 'reconnect, connected: true']);
    connection.send('b');
    expect(await stream.takeData()).toBe('b');
  });

  it('ignores the late end of the previous stream', async () => {
    const { client, connection } = await openOne({ reconnectTimeout: 0 });
    const events = ['disconnect', 'close'].map((event) => record(connection, event));
    const stream = await client.resume(0);
    await stream.take();
    await client.stream.ended;
    await turn();
    expect(events).toEqual([[[]], []]);
    expect(connection.connected).toBe(true);
  });
});

describe('Session in the duplex dialect, with a client that is too slow', () => {
  const LARGE = 'x'.repeat(1 << 20);

  it('returns false from send() at highWaterMark, and emits drain when the socket has everything', async () => {
    const { client, connection } = await openOne({ highWaterMark: 1000 });
    const drains = record(connection, 'drain');
    expect(connection.send('x'.repeat(500))).toBe(true);
    expect(connection.send('x'.repeat(500))).toBe(false);
    expect(connection.bufferedAmount).toBeGreaterThanOrEqual(1000);
    expect(connection.send('x')).toBe(false);
    await waitFor(() => drains.length > 0);
    expect(connection.bufferedAmount).toBe(0);
    expect(connection.send('y')).toBe(true);
    await waitFor(() => client.stream.waiting() === 4);
    expect(drains).toEqual([[]]);
  });

  it('counts the bytes that the socket has not accepted', async () => {
    const { client, connection } = await openOne({ maxBufferedAmount: 20 << 20 });
    const drains = record(connection, 'drain');
    client.stream.pause();
    expect(connection.send('x'.repeat(8 << 20))).toBe(false);
    await turn();
    expect(connection.bufferedAmount).toBeGreaterThan(1 << 20);
    expect(drains).toEqual([]);
    client.stream.resume();
    await waitFor(() => drains.length > 0);
    expect(connection.bufferedAmount).toBe(0);
  });

  it('returns false from send() above half of maxBufferedAmount, and emits drain after an acknowledgement', async () => {
    const { client, connection } = await openOne({ maxBufferedAmount: 100 });
    const drains = record(connection, 'drain');
    expect(connection.send('x'.repeat(40))).toBe(true); // 50 bytes
    expect(connection.send('')).toBe(false);
    await client.stream.take();
    await client.stream.take();
    expect([connection.bufferedAmount, drains.length]).toEqual([0, 0]);
    await client.post({ ack: 1 });
    await turn();
    expect(drains).toHaveLength(1);
  });

  it('emits no drain while its stream is lost', async () => {
    const all = await openOne({ highWaterMark: 100 });
    const drains = record(all.connection, 'drain');
    await lose(all);
    expect(all.connection.send('x'.repeat(100))).toBe(false);
    await turn();
    expect(drains).toEqual([]);
    const stream = await all.client.resume(0);
    await stream.take();
    await stream.take();
    await waitFor(() => drains.length > 0);
  });

  it('closes with 1008 above maxBufferedAmount, and sends close on the stream', async () => {
    const { client, connection } = await openOne({ maxBufferedAmount: 100 });
    const closes = record(connection, 'close');
    const [a, b] = ['a'.repeat(80), 'b'.repeat(80)];
    connection.send(a);
    expect(closes).toEqual([]);
    expect(connection.send(b)).toBe(false);
    const reason = 'more than 100 bytes unacknowledged (option "maxBufferedAmount")';
    expect(closes).toEqual([[1008, reason, { unacknowledged: [a, b] }]]);
    expect(connection.readyState).toBe(3);
    expect(await client.stream.take()).toEqual({
      event: 'close',
      data: JSON.stringify({ code: 1008, reason }),
    });
    expect(await client.stream.ended).toBe('ended');
    const reply = await client.post({ messages: ['late'] });
    expect([reply.status, reply.json]).toEqual([
      410,
      {
        code: 'session-closed',
        message: `the session is closed: 1008 ${reason}`,
        close: { code: 1008, reason },
      },
    ]);
  });

  it('sends any amount to a client that acknowledges', async () => {
    const { client, connection } = await openOne({ maxBufferedAmount: 100 });
    for (let i = 1; i <= 5; i++) {
      connection.send('a'.repeat(80));
      await client.stream.take();
      await client.post({ ack: i });
    }
    expect(connection.readyState).toBe(1);
  });

  it('sends close when a client whose stream was stalled reconnects', async () => {
    const { client, connection } = await openOne({ maxBufferedAmount: 20 << 20 });
    const closes = record(connection, 'close');
    client.stream.pause();
    for (let i = 0; i < 19; i++) connection.send(LARGE);
    await waitFor(() => connection.bufferedAmount < 19 << 20); // some are in the sockets
    connection.send(LARGE);
    connection.send(LARGE);
    expect(closes).toEqual([[1008, expect.any(String), expect.anything()]]);
    await waitFor(() => !connection.connected);
    const stream = await client.resume(0);
    expect(await stream.takeData()).toMatchObject({ resumed: true });
    expect(await stream.takeData()).toMatchObject({ code: 1008 });
    expect(await stream.ended).toBe('ended');
  });

  it('sends close when a client whose stream was lost reconnects', async () => {
    const all = await openOne({ maxBufferedAmount: 100 });
    const closes = record(all.connection, 'close');
    await lose(all);
    all.connection.send('a'.repeat(100));
    expect(closes).toHaveLength(1);
    const stream = await all.client.resume(0);
    await stream.take();
    expect(await stream.takeData()).toMatchObject({ code: 1008 });
  });
});

describe('Session in the duplex dialect, with an application that does not read', () => {
  const batch = (length: number, id = 0) => ({
    id,
    messages: Array.from({ length }, (_, i) => id + i),
  });

  it('delays the response to a POST until the application reads', async () => {
    const { client, connection } = await openOne({ highWaterMark: 1 });
    connection.pause();
    const messages = record(connection, 'message');
    expect((await client.post(batch(5))).status).toBe(200);
    let hasResponse = false;
    const blocked = client.post(batch(2, 5)).then((reply) => {
      hasResponse = true;
      return reply.json;
    });
    expect((await client.post()).status).toBe(200); // a sign of life does not wait
    expect([hasResponse, messages]).toEqual([false, []]);
    connection.resume();
    expect(await blocked).toEqual({ received: 7 });
    expect(messages.flat()).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it('applies the acknowledgement of a delayed POST at once', async () => {
    const { client, connection } = await openOne({ highWaterMark: 1 });
    connection.pause();
    connection.send('a');
    expect(connection.unacknowledgedAmount).toBeGreaterThan(0);
    await client.post(batch(1));
    const delayed = client.post({ ...batch(1, 1), ack: 1 });
    await waitFor(() => connection.unacknowledgedAmount === 0);
    connection.on('message', () => {});
    connection.resume();
    expect((await delayed).json).toEqual({ received: 2 });
  });

  it('delays one POST, and rejects another with 503', async () => {
    const { client, connection } = await openOne({ highWaterMark: 1 });
    connection.pause();
    await client.post(batch(1));
    const both = [client.post(batch(1, 1)), client.post(batch(1, 1))];
    const reply = await Promise.race(both);
    expect([reply.status, reply.headers['retry-after'], reply.json]).toEqual([
      503,
      '1',
      { code: 'service-unavailable', message: expect.stringContaining('does not read') as string },
    ]);
    const messages = record(connection, 'message');
    connection.resume();
    const statuses = (await Promise.all(both)).map(({ status }) => status);
    expect(statuses.sort()).toEqual([200, 503]);
    expect(messages.flat()).toEqual([0, 1]);
  });

  it('responds to a delayed POST with 404 when the session has ended meanwhile', async () => {
    const { client, connection, sse } = await openOne({ highWaterMark: 1 });
    connection.pause();
    await client.post(batch(1));
    const delayed = client.post({ ...batch(1, 1), close: { code: 3000, reason: '' } });
    await client.post(); // by now the other one is delayed
    void sse.close(3001, 'bye');
    client.stream.cut();
    const reply = await client.post({ id: 1, close: { code: 3001, reason: 'bye' } });
    expect(reply.json).toEqual({ received: 1, closed: true });
    expect(await delayed).toMatchObject({ status: 404, json: { code: 'unknown-session' } });
  });

  it('responds to a delayed POST with the close code when the session exceeds a limit meanwhile', async () => {
    const { client, connection } = await openOne({ highWaterMark: 1, maxBufferedAmount: 100 });
    connection.pause();
    await client.post(batch(1));
    const delayed = client.post(batch(1, 1));
    await client.post(); // by now the other one is delayed
    connection.send('x'.repeat(100));
    expect(await delayed).toMatchObject({
      status: 410,
      json: { code: 'session-closed', close: { code: 1008 } },
    });
  });

  it('delivers each message once although its client repeats a delayed POST', async () => {
    const { client, connection } = await openOne({ highWaterMark: 1 });
    connection.pause();
    const messages = record(connection, 'message');
    await client.post(batch(1));
    const both = [client.post(batch(2, 1)), client.post(batch(2, 1))];
    await Promise.race(both);
    connection.resume();
    await Promise.all(both);
    await client.post(batch(3, 1));
    expect(messages.flat()).toEqual([0, 1, 2, 3]);
  });
});

describe('Session in the duplex dialect, closed by the server', () => {
  it('sends close after all messages, and ends with the close of the client', async () => {
    const { client, connection, sse } = await openOne();
    const closes = record(connection, 'close');
    const messages = record(connection, 'message');
    connection.send('last');
    connection.close(4000, 'done');
    expect(connection.readyState).toBe(2);
    expect(connection.send('never')).toBe(false);
    connection.close(4001); // the first one counts
    expect(await client.stream.takeData()).toBe('last');
    expect(await client.stream.take()).toEqual({
      event: 'close',
      data: '{"code":4000,"reason":"done"}',
    });
    expect(await client.stream.ended).toBe('ended');
    expect(closes).toEqual([]);
    const reply = await client.post({
      ack: 1,
      messages: ['on the way'],
      close: { code: 4000, reason: 'done' },
    });
    expect([reply.status, reply.json]).toEqual([200, { received: 1, closed: true }]);
    expect(messages).toEqual([['on the way']]);
    expect(closes).toEqual([[4000, 'done', { unacknowledged: [] }]]);
    expect([connection.readyState, sse.connections.size]).toEqual([3, 0]);
    expect((await client.post()).status).toBe(404);
  });

  it('sends close after the messages that a slow client has not received yet', async () => {
    const { client, connection } = await openOne();
    const large = 'x'.repeat(7 << 20);
    client.stream.pause();
    connection.send(large);
    await turn();
    connection.send('last');
    connection.close();
    await turn();
    client.stream.resume();
    expect((await client.stream.takeData()) === large).toBe(true);
    expect(await client.stream.takeData()).toBe('last');
    expect(await client.stream.takeData()).toEqual({ code: 1000, reason: '' });
  });

  it('keeps the code and the reason of the server whatever the client sends', async () => {
    const { client, connection } = await openOne();
    const closes = record(connection, 'close');
    connection.close(4000, 'done');
    await client.stream.take();
    await client.post({ close: { code: 1000, reason: 'mine' } });
    expect(closes).toEqual([[4000, 'done', { unacknowledged: [] }]]);
  });

  it('sends close again on every stream until the client closes', async () => {
    const all = await openOne();
    all.connection.send('a');
    await all.client.stream.take();
    await lose(all);
    all.connection.close(4000, 'done');
    const stream = await all.client.resume(0);
    await stream.take();
    expect(await stream.takeData()).toBe('a');
    expect(await stream.takeData()).toEqual({ code: 4000, reason: 'done' });
    const again = await all.client.resume(1);
    await again.take();
    expect(await again.takeData()).toEqual({ code: 4000, reason: 'done' });
  });

  it("waits reconnectTimeout for the client's close, and reports the unacknowledged messages", async () => {
    const { client, connection, sse } = await openOne({ reconnectTimeout: 20_000 });
    const closes = record(connection, 'close');
    useFakeTimeouts();
    connection.send('a');
    connection.close(4000, 'done');
    await client.stream.ended;
    await waitFor(() => !connection.connected);
    jest.advanceTimersByTime(19_999);
    expect(closes).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(closes).toEqual([[4000, 'done', { unacknowledged: ['a'] }]]);
    expect(sse.connections.size).toBe(0);
  });

  it("waits at least 5 s for the client's close", async () => {
    const { client, connection } = await openOne({ reconnectTimeout: 0 });
    const closes = record(connection, 'close');
    useFakeTimeouts();
    connection.close(4000);
    await client.stream.ended;
    await waitFor(() => !connection.connected);
    jest.advanceTimersByTime(4_999);
    expect(closes).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(closes).toHaveLength(1);
  });

  it.each([
    ['is closing', (connection: Connection) => connection.close(4000, 'done')],
    ['has failed', (connection: Connection) => connection.send('x'.repeat(1_000))],
  ])(
    'ends a session that %s after twice reconnectTimeout, although its client reconnects and does not answer',
    async (_, end) => {
      const { client, connection } = await openOne({
        reconnectTimeout: 20_000,
        maxBufferedAmount: 1_000,
      });
      useFakeTimeouts();
      end(connection);
      await client.stream.ended;
      for (let i = 0; i < 3; i++) {
        await waitFor(() => !connection.connected);
        jest.advanceTimersByTime(13_000);
        const stream = await client.resume(0);
        expect(stream.status).toBe(200);
        await stream.ended;
      }
      await waitFor(() => !connection.connected);
      jest.advanceTimersByTime(1_000);
      expect((await client.resume(0)).status).toBe(404);
    },
  );

  it('ends after 1008 with the close of the client', async () => {
    const { client, connection } = await openOne({ maxBufferedAmount: 10 });
    connection.send('0123456789');
    await client.stream.take();
    const messages = record(connection, 'message');
    const reply = await client.post({ messages: ['late'], close: { code: 1008, reason: '' } });
    expect([reply.status, reply.json]).toEqual([200, { received: 0, closed: true }]);
    expect(messages).toEqual([]); // after `close` there is none
    expect((await client.post()).status).toBe(404);
  });
});

describe('Session in the duplex dialect, closed by the client', () => {
  it('delivers the messages before the close, and reports the unacknowledged ones', async () => {
    const { client, connection, sse } = await openOne();
    const messages = record(connection, 'message');
    const closes = record(connection, 'close');
    'abc'.split('').forEach((text) => connection.send(text));
    const reply = await client.post({
      ack: 1,
      messages: ['x', 'y'],
      close: { code: 4001, reason: 'ünd' },
    });
    expect([reply.status, reply.json]).toEqual([200, { received: 2, closed: true }]);
    expect(messages.flat()).toEqual(['x', 'y']);
    expect(closes).toEqual([[4001, 'ünd', { unacknowledged: ['b', 'c'] }]]);
    expect(await client.stream.ended).toBe('ended');
    expect(sse.connections.size).toBe(0);
  });

  it('does not close before the messages that precede the close have arrived', async () => {
    const { client, connection } = await openOne();
    const messages = record(connection, 'message');
    const closes = record(connection, 'close');
    const end = { id: 1, messages: ['y'], close: { code: 1000, reason: '' } };
    expect((await client.post(end)).status).toBe(409);
    expect(closes).toEqual([]);
    await client.post({ messages: ['x'] });
    expect((await client.post(end)).json).toEqual({ received: 2, closed: true });
    expect(messages.flat()).toEqual(['x', 'y']);
    expect(closes).toHaveLength(1);
  });

  it('leaves no timer after the closing handshake', async () => {
    const { client, connection } = await openOne({ reconnectTimeout: 3_600_000 });
    record(connection, 'message');
    const timers = jest.spyOn(global, 'setTimeout');
    onTestFinished(() => timers.mockRestore());
    await client.post({ close: { code: 1000, reason: '' } });
    await client.stream.ended;
    await waitFor(() => !connection.connected);
    expect(timers.mock.calls.filter(([, delay]) => delay === 3_600_000)).toEqual([]);
  });

  it('releases the session id', async () => {
    const { client, url } = await openOne();
    await client.post({ close: { code: 1000, reason: '' } });
    const next = await openDuplex(url, 'a');
    expect(next.token).not.toBe(client.token);
  });
});

describe('Session in the duplex dialect, emitting close', () => {
  it('emits close after the last message, even if the listener for messages is added late', async () => {
    const { client, connection } = await openOne({ reconnectTimeout: 0 });
    const events: unknown[] = [];
    connection.on('close', () => events.push('close'));
    useFakeTimeouts();
    await client.post({ messages: ['x', 'y'], close: { code: 1000, reason: '' } });
    jest.advanceTimersByTime(29_999);
    expect(events).toEqual([]);
    connection.on('message', (message) => events.push(message));
    await turn();
    expect(events).toEqual(['x', 'y', 'close']);
  });

  it('emits close after 30 s if the application has no listener for its messages', async () => {
    const { client, connection, sse } = await openOne({ reconnectTimeout: 0 });
    const closes = record(connection, 'close');
    useFakeTimeouts();
    await client.post({ messages: ['x'], close: { code: 1000, reason: '' } });
    expect(sse.connections.size).toBe(0);
    jest.advanceTimersByTime(29_999);
    expect(closes).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(closes).toEqual([[1000, '', { unacknowledged: [] }]]);
  });

  it('waits for a paused application longer than 30 s', async () => {
    const { client, connection } = await openOne({ reconnectTimeout: 0 });
    const closes = record(connection, 'close');
    const messages = record(connection, 'message');
    connection.pause();
    useFakeTimeouts();
    await client.post({ messages: ['x'], close: { code: 1000, reason: '' } });
    jest.advanceTimersByTime(60_000);
    expect([closes, messages]).toEqual([[], []]);
    connection.resume();
    await turn();
    expect([closes.length, messages]).toEqual([1, [['x']]]);
  });

  it('emits close once although the application resumes again', async () => {
    const { client, connection } = await openOne();
    const closes = record(connection, 'close');
    record(connection, 'message');
    await client.post({ close: { code: 1000, reason: '' } });
    connection.pause();
    connection.resume();
    await turn();
    expect(closes).toHaveLength(1);
  });
});
