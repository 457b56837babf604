import { addressOf, openChannel, openDuplex, record } from '../helpers/channel';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { sendRequest, openStream, post } from '../helpers/http';
import { waitFor } from '../helpers/wait-for';

const UNKNOWN = {
  code: 'unknown-session',
  message: 'there is no such session on this server, or it is not yours: open a new one',
};

async function openOne(options: Parameters<typeof openChannel>[0] = {}) {
  const channel = await openChannel(options);
  const client = await openDuplex(channel.url);
  return { ...channel, client, connection: channel.connections[0]! };
}

/** Cuts the client's stream, and waits until the server knows. */
async function lose({ client, connection }: Awaited<ReturnType<typeof openOne>>): Promise<void> {
  client.stream.cut();
  await waitFor(() => !connection.connected);
}

describe('a duplex session, up', () => {
  it('writes what a message is answered with at once before its receipt', async () => {
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

  it('delivers a batch in order, and says how many it has', async () => {
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

  it('skips what it has taken already', async () => {
    const { client, connection } = await openOne();
    const messages = record(connection, 'message');
    await client.post({ messages: [0, 1] });
    expect((await client.post({ messages: [0, 1] })).json).toEqual({ received: 2 });
    expect((await client.post({ messages: [0, 1, 2] })).json).toEqual({ received: 3 });
    expect((await client.post({ id: 2, messages: [2, 3] })).json).toEqual({ received: 4 });
    expect(messages.flat()).toEqual([0, 1, 2, 3]);
  });

  it('keeps a batch that comes early until those before it are there', async () => {
    const { client, connection } = await openOne();
    const messages = record(connection, 'message');
    expect((await client.post({ id: 2, messages: [2, 3] })).json).toEqual({ received: 0 });
    expect((await client.post({ id: 1, messages: [1] })).json).toEqual({ received: 0 });
    expect(messages).toEqual([]);
    expect((await client.post({ messages: [0] })).json).toEqual({ received: 4 });
    expect(messages.flat()).toEqual([0, 1, 2, 3]);
  });

  it('answers 409 to what is outside the window, and takes it later', async () => {
    const { client, connection } = await openOne({ reorderWindow: 2 });
    const messages = record(connection, 'message');
    const reply = await client.post({ id: 2, messages: [2, 3] });
    expect([reply.status, reply.json]).toEqual([
      409,
      {
        code: 'out-of-window',
        message: expect.stringContaining(
          'message 2 is outside the window: the next expected number is 0',
        ) as string,
      },
    ]);
    expect((await client.post({ messages: [0, 1, 2, 3] })).json).toEqual({ received: 4 });
    expect(messages.flat()).toEqual([0, 1, 2, 3]);
  });

  it('takes an envelope without messages as a sign of life', async () => {
    const { client } = await openOne();
    expect((await client.post()).json).toEqual({ received: 0 });
  });

  it.each([
    ['no token', { token: undefined }],
    ['a token that is none', { token: 1 }],
    ['no number', { id: undefined }],
    ['a negative number', { id: -1 }],
    ['half a number', { id: 0.5 }],
    ['a number too great', { id: 2 ** 53 }],
    ['no ack', { ack: undefined }],
    ['an ack of letters', { ack: '1' }],
    ['no list', { messages: { 0: 'x' } }],
    ['a code that may not be sent', { close: { code: 1006, reason: '' } }],
    ['a close without reason', { close: { code: 1000 } }],
    ['a close of nothing', { close: null }],
    ['an ack of what was never sent', { ack: 1 }],
  ])('answers 400 to an envelope with %s', async (_, fields) => {
    const { client, connection } = await openOne();
    const messages = record(connection, 'message');
    const reply = await client.post({ messages: ['x'], ...(fields as object) });
    expect([reply.status, reply.json]).toMatchObject([400, { code: 'bad-request' }]);
    expect(messages).toEqual([]);
    expect(connection.readyState).toBe(1);
  });

  it.each(['null', '1', '"text"', '[]'])('answers 400 to the body %s', async (body) => {
    const { url } = await openOne();
    const reply = await post(addressOf(url, 'a'), body);
    expect([reply.status, reply.json]).toMatchObject([400, { code: 'bad-request' }]);
  });
});

describe('a refusal of a duplex POST', () => {
  it('says how many messages there were to acknowledge', async () => {
    const { client, connection } = await openOne();
    connection.send('a');
    const { status, json } = await client.post({ ack: 2 });
    expect([status, json]).toMatchObject([
      400,
      { message: '"ack" is 2, but only 1 messages were sent' },
    ]);
  });

  it('names the option that bounds the window', async () => {
    const { client } = await openOne({ reorderWindow: 2 });
    const { status, json } = await client.post({ id: 3, messages: ['x'] });
    expect([status, json]).toMatchObject([
      409,
      { message: expect.stringMatching(/^message 3 .* is 0, .*"reorderWindow"/) as string },
    ]);
  });
});

describe('a duplex session, down', () => {
  it.each([
    [{}, 262_144],
    [{ maxBufferedAmount: 800 }, 100],
    [{ maxBufferedAmount: 1 }, 1],
  ])('says hello with what its client must know (%j)', async (options, bytes) => {
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
  });

  it('sends messages in order, each as JSON after `data: `, without an id', async () => {
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

  it('pings every heartbeat with both counts', async () => {
    const { client, connection } = await openOne({ heartbeatInterval: 30 });
    expect(await client.stream.take()).toEqual({ event: 'ping', data: '{"sent":0,"received":0}' });
    connection.send('x');
    await client.post({ messages: [1, 2] });
    await waitFor(() =>
      client.stream.text().includes('event: ping\ndata: {"sent":1,"received":2}\n\n'),
    );
  });

  it('confirms by ack', async () => {
    const { client, connection } = await openOne();
    'abc'.split('').forEach((text) => connection.send(text));
    const size = 'data: "a"\n\n'.length;
    expect(connection.unacknowledgedAmount).toBe(3 * size);
    await client.post({ ack: 2 });
    expect(connection.unacknowledgedAmount).toBe(size);
    await client.post({ ack: 1 }); // one that was overtaken
    expect(connection.unacknowledgedAmount).toBe(size);
  });

  it('ends the stream of a client that is silent for 2.5 of its idle intervals', async () => {
    const { client, connection } = await openOneWithFakeClock(1000);
    const disconnects = record(connection, 'disconnect');
    jest.advanceTimersByTime(9_000);
    await client.post(); // a sign of life
    jest.advanceTimersByTime(10_000);
    expect(disconnects).toHaveLength(0);
    jest.advanceTimersByTime(1_000);
    await waitFor(() => disconnects.length > 0);
    expect(connection.readyState).toBe(1);
  });

  it('has no heartbeats while its stream is lost', async () => {
    const all = await openOneWithFakeClock(1000);
    await lose(all);
    jest.advanceTimersByTime(1_000);
    expect(await (await all.client.resume(0)).takeData()).toMatchObject({ resumed: true });
  });

  it('does not have heartbeats pile up on a stream that is stalled', async () => {
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

describe('a duplex session whose stream is lost', () => {
  it('keeps what is sent, and goes on where the client is', async () => {
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

  it('tells the client how many it has taken', async () => {
    const all = await openOne();
    record(all.connection, 'message');
    await all.client.post({ messages: ['x', 'y'] });
    await lose(all);
    const stream = await all.client.resume(0);
    expect(await stream.takeData()).toMatchObject({ received: 2 });
  });

  it('takes POSTs meanwhile', async () => {
    const all = await openOne();
    const messages = record(all.connection, 'message');
    await lose(all);
    expect((await all.client.post({ messages: ['x'] })).json).toEqual({ received: 1 });
    expect(messages).toEqual([['x']]);
  });

  it('writes again what was not confirmed, as often as it takes', async () => {
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

  it('does not write what was confirmed by a POST before the stream is back', async () => {
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

  it.each([
    ['more than was sent', 3],
    ['less than was confirmed', 0],
  ])('answers 404 to a client that says it has %s', async (_, received) => {
    const { client, connection } = await openOne();
    connection.send('a');
    connection.send('b');
    await client.post({ ack: 1 });
    const stream = await client.resume(received);
    expect(stream.status).toBe(404);
    await stream.ended;
    expect(JSON.parse(stream.text())).toEqual(UNKNOWN);
    expect(connection.connected).toBe(true);
  });

  it('closes after reconnectTimeout', async () => {
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

  it('does not close when the client came back in time', async () => {
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

  it('closes at once with reconnectTimeout 0', async () => {
    const all = await openOne({ reconnectTimeout: 0 });
    const closes = record(all.connection, 'close');
    await lose(all);
    expect(closes).toEqual([[1006, expect.any(String), { unacknowledged: [] }]]);
    expect(all.sse.connections.size).toBe(0);
  });
});

describe('the proof of a duplex session', () => {
  it('answers all who have none alike: wrong token, unknown session, another principal', async () => {
    const { url } = await openChannel({
      authorize: (request) => request.headers['x-user'] as string,
    });
    const client = await openDuplex(url, 'a', { 'x-user': 'ann' });
    const body = (token: string) => JSON.stringify({ token, id: 0, ack: 0, messages: ['x'] });
    const replies = await Promise.all([
      post(addressOf(url, 'a'), body('x'.repeat(21)), { 'x-user': 'ann' }),
      post(addressOf(url, 'a'), body('short'), { 'x-user': 'ann' }),
      post(addressOf(url, 'b'), body(client.token), { 'x-user': 'ann' }),
      post(addressOf(url, 'a'), body(client.token), { 'x-user': 'bob' }),
      post(addressOf(url, 'b'), body(client.token), { 'x-user': 'bob' }),
    ]);
    for (const { status, json } of replies) expect([status, json]).toEqual([404, UNKNOWN]);
    expect((await client.post({ messages: ['y'] })).json).toEqual({ received: 1 });
  });

  it('answers all who would resume without it alike', async () => {
    const { url, connections } = await openChannel({
      authorize: (request) => request.headers['x-user'] as string,
    });
    const { token } = await openDuplex(url, 'a', { 'x-user': 'ann' });
    const attempt = async (id: string, proof: string, user: string) => {
      const headers = { 'Last-Event-ID': proof, 'x-user': user };
      return sendRequest(`${addressOf(url, id)}&sseProtocol=2`, { headers });
    };
    const replies = await Promise.all([
      attempt('a', `${'x'.repeat(21)}.0`, 'ann'),
      attempt('a', 'rubbish', 'ann'),
      attempt('a', '', 'ann'),
      attempt('a', `${token}.0`, 'bob'),
      attempt('b', `${token}.0`, 'ann'),
    ]);
    for (const reply of replies) {
      expect([reply.status, JSON.parse(reply.text)]).toEqual([404, UNKNOWN]);
    }
    expect(connections).toHaveLength(1);
    expect(connections[0]!.connected).toBe(true);
  });

  it.each([
    ['attached', false],
    ['lost', true],
  ])('is pending of a GET for a session that is %s, with 409', async (_, isLost) => {
    const all = await openOne();
    if (isLost) await lose(all);
    for (const query of ['&sseProtocol=2', '']) {
      const reply = await sendRequest(addressOf(all.url, 'a') + query);
      expect([reply.status, JSON.parse(reply.text)]).toMatchObject([
        409,
        { code: 'session-conflict' },
      ]);
    }
    expect(all.connection.connected).toBe(!isLost);
    expect(all.connections).toHaveLength(1);
  });

  it('does not make a duplex session out of a base one', async () => {
    const { url, connections } = await openChannel();
    const base = await openStream(addressOf(url, 'a'));
    const { id } = await base.take();
    const headers = { 'Last-Event-ID': id! };
    const resumed = await sendRequest(`${addressOf(url, 'a')}&sseProtocol=2`, { headers });
    const opened = await sendRequest(`${addressOf(url, 'a')}&sseProtocol=2`);
    expect([resumed.status, opened.status]).toEqual([404, 409]);
    expect(connections).toHaveLength(1);
  });
});

describe('a GET that takes over while the old stream stands', () => {
  it('ends the old stream, tells of both, and goes on in the new one', async () => {
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

  it('is not disturbed by the late end of the old stream', async () => {
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

describe('a client that does not keep up', () => {
  const LARGE = 'x'.repeat(1 << 20);

  it('gets false, and drain when its socket has taken all', async () => {
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

  it('counts what its socket has not taken', async () => {
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

  it('gets false past half of maxBufferedAmount unacknowledged, and drain when enough is', async () => {
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

  it('is closed past maxBufferedAmount, not at it', async () => {
    const { connection } = await openOne({ maxBufferedAmount: 50 });
    connection.send('x'.repeat(40));
    expect(connection.readyState).toBe(1);
    connection.send('');
    expect(connection.readyState).toBe(3);
  });

  it('gets no drain while its stream is lost', async () => {
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

  it('is closed with 1008 at maxBufferedAmount, and learns it on its stream', async () => {
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

  it('is closed by what it does not confirm, though its socket took it', async () => {
    const { client, connection } = await openOne({ maxBufferedAmount: 100 });
    const closes = record(connection, 'close');
    connection.send('a'.repeat(80));
    await client.stream.take();
    connection.send('b'.repeat(80));
    expect(closes).toHaveLength(1);
  });

  it('may have as much as it likes when it confirms', async () => {
    const { client, connection } = await openOne({ maxBufferedAmount: 100 });
    for (let i = 1; i <= 5; i++) {
      connection.send('a'.repeat(80));
      await client.stream.take();
      await client.post({ ack: i });
    }
    expect(connection.readyState).toBe(1);
  });

  it('is told when it comes back, where its stream is stalled', async () => {
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

  it('is told when it comes back, where its stream is lost', async () => {
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

describe('the end of a duplex session', () => {
  it('by the server comes after what was sent, and is confirmed by the client', async () => {
    const { client, connection, sse } = await openOne();
    const closes = record(connection, 'close');
    const messages = record(connection, 'message');
    connection.send('last');
    connection.close(4000, 'bye');
    expect(connection.readyState).toBe(2);
    expect(connection.send('never')).toBe(false);
    connection.close(4001); // the first one counts
    expect(await client.stream.takeData()).toBe('last');
    expect(await client.stream.take()).toEqual({
      event: 'close',
      data: '{"code":4000,"reason":"bye"}',
    });
    expect(await client.stream.ended).toBe('ended');
    expect(closes).toEqual([]);
    const reply = await client.post({
      ack: 1,
      messages: ['on the way'],
      close: { code: 4000, reason: 'bye' },
    });
    expect([reply.status, reply.json]).toEqual([200, { received: 1 }]);
    expect(messages).toEqual([['on the way']]);
    expect(closes).toEqual([[4000, 'bye', { unacknowledged: [] }]]);
    expect([connection.readyState, sse.connections.size]).toEqual([3, 0]);
    expect((await client.post()).status).toBe(404);
  });

  it('by the server waits for what a slow client was sent', async () => {
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

  it('by the server has the code and reason of the server, whatever the client says', async () => {
    const { client, connection } = await openOne();
    const closes = record(connection, 'close');
    connection.close(4000, 'bye');
    await client.stream.take();
    await client.post({ close: { code: 1000, reason: 'mine' } });
    expect(closes).toEqual([[4000, 'bye', { unacknowledged: [] }]]);
  });

  it('by the server is told again to a client that lost the stream before it', async () => {
    const all = await openOne();
    all.connection.send('a');
    await all.client.stream.take();
    await lose(all);
    all.connection.close(4000, 'bye');
    const stream = await all.client.resume(0);
    await stream.take();
    expect(await stream.takeData()).toBe('a');
    expect(await stream.takeData()).toEqual({ code: 4000, reason: 'bye' });
    const again = await all.client.resume(1);
    await again.take();
    expect(await again.takeData()).toEqual({ code: 4000, reason: 'bye' });
  });

  it('by the server waits reconnectTimeout for the confirmation, and names what lacks one', async () => {
    const { client, connection, sse } = await openOne({ reconnectTimeout: 20_000 });
    const closes = record(connection, 'close');
    useFakeTimeouts();
    connection.send('a');
    connection.close(4000, 'bye');
    await client.stream.ended;
    await waitFor(() => !connection.connected);
    jest.advanceTimersByTime(19_999);
    expect(closes).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(closes).toEqual([[4000, 'bye', { unacknowledged: ['a'] }]]);
    expect(sse.connections.size).toBe(0);
  });

  it('by the server waits 5 s in any case', async () => {
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

  it('by the client comes after its messages, and names what it never confirmed', async () => {
    const { client, connection, sse } = await openOne();
    const messages = record(connection, 'message');
    const closes = record(connection, 'close');
    'abc'.split('').forEach((text) => connection.send(text));
    const reply = await client.post({
      ack: 1,
      messages: ['x', 'y'],
      close: { code: 4001, reason: 'ünd' },
    });
    expect([reply.status, reply.json]).toEqual([200, { received: 2 }]);
    expect(messages.flat()).toEqual(['x', 'y']);
    expect(closes).toEqual([[4001, 'ünd', { unacknowledged: ['b', 'c'] }]]);
    expect(await client.stream.ended).toBe('ended');
    expect(sse.connections.size).toBe(0);
  });

  it('by the client waits for messages before it that are on their way', async () => {
    const { client, connection } = await openOne();
    const messages = record(connection, 'message');
    const closes = record(connection, 'close');
    const end = { id: 1, messages: ['y'], close: { code: 1000, reason: '' } };
    expect((await client.post(end)).status).toBe(409);
    expect(closes).toEqual([]);
    await client.post({ messages: ['x'] });
    expect((await client.post(end)).json).toEqual({ received: 2 });
    expect(messages.flat()).toEqual(['x', 'y']);
    expect(closes).toHaveLength(1);
  });

  it('after 1008 is confirmed by the client, which then is forgotten', async () => {
    const { client, connection } = await openOne({ maxBufferedAmount: 10 });
    connection.send('0123456789');
    await client.stream.take();
    const messages = record(connection, 'message');
    const reply = await client.post({ messages: ['late'], close: { code: 1008, reason: '' } });
    expect([reply.status, reply.json]).toEqual([200, { received: 0 }]);
    expect(messages).toEqual([]); // after `close` there is none
    expect((await client.post()).status).toBe(404);
  });

  it.each([1005, 1006, 2999, 5000])('cannot be by code %i', async (code) => {
    const { connection } = await openOne();
    expect(() => connection.close(code)).toThrow(RangeError);
    expect(() => connection.close(1000, 'x'.repeat(124))).toThrow(RangeError);
    expect(connection.readyState).toBe(1);
  });

  it('is told after the last message, also to an application that came late', async () => {
    const { client, connection } = await openOne();
    const events: unknown[] = [];
    connection.on('close', () => events.push('close'));
    await client.post({ messages: ['x', 'y'], close: { code: 1000, reason: '' } });
    await turn();
    expect(events).toEqual([]);
    connection.on('message', (message) => events.push(message));
    await turn();
    expect(events).toEqual(['x', 'y', 'close']);
  });

  it('is told to an application that never asks for messages, after reconnectTimeout', async () => {
    const { client, connection, sse } = await openOne({ reconnectTimeout: 7_000 });
    const closes = record(connection, 'close');
    useFakeTimeouts();
    await client.post({ messages: ['x'], close: { code: 1000, reason: '' } });
    jest.advanceTimersByTime(6_999);
    expect(closes).toEqual([]);
    jest.advanceTimersByTime(1);
    expect([closes.length, sse.connections.size]).toEqual([1, 0]);
  });

  it('is told once, though the application goes on asking for messages', async () => {
    const { client, connection } = await openOne();
    const closes = record(connection, 'close');
    record(connection, 'message');
    await client.post({ close: { code: 1000, reason: '' } });
    connection.pause();
    connection.resume();
    await turn();
    expect(closes).toHaveLength(1);
  });

  it('frees the name', async () => {
    const { client, url } = await openOne();
    await client.post({ close: { code: 1000, reason: '' } });
    const next = await openDuplex(url, 'a');
    expect(next.token).not.toBe(client.token);
  });
});

describe('an application that does not read', () => {
  const batch = (length: number, id = 0) => ({
    id,
    messages: Array.from({ length }, (_, i) => id + i),
  });

  it('misses nothing: messages wait for the first listener', async () => {
    const { client, connection } = await openOne();
    await client.post({ messages: [1, 2] });
    await turn();
    const messages = record(connection, 'message');
    await turn();
    await client.post({ id: 2, messages: [3] });
    expect(messages.flat()).toEqual([1, 2, 3]);
  });

  it('has the client pushed back on: the POST waits for room', async () => {
    const { client, connection } = await openOne({ reorderWindow: 4 });
    connection.pause();
    const messages = record(connection, 'message');
    expect((await client.post(batch(5))).status).toBe(200);
    let isAnswered = false;
    const held = client.post(batch(2, 5)).then((reply) => {
      isAnswered = true;
      return reply.json;
    });
    expect((await client.post()).status).toBe(200); // a sign of life does not wait
    expect([isAnswered, messages]).toEqual([false, []]);
    connection.resume();
    expect(await held).toEqual({ received: 7 });
    expect(messages.flat()).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it('counts the bytes of a batch once', async () => {
    const { client, connection } = await openOne({ highWaterMark: 800 });
    connection.pause();
    const text = 'x'.repeat(100);
    const batchAt = (id: number) => client.post({ id, messages: [text, text, text, text] });
    await batchAt(0);
    expect((await batchAt(4)).status).toBe(200); // about 500 bytes were there
    const third = jest.fn();
    const held = batchAt(8).then(third);
    await client.post();
    expect(third).not.toHaveBeenCalled();
    connection.on('message', () => {}).resume();
    await held;
  });

  it('has one POST wait, and others told to come again', async () => {
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

  it('has a POST told to come again after a heartbeat', async () => {
    const { client, connection } = await openOne({ highWaterMark: 1, heartbeatInterval: 7_000 });
    connection.pause();
    await client.post(batch(1));
    useFakeTimeouts();
    const timers = jest.spyOn(global, 'setTimeout');
    let isAnswered = false;
    const held = client.post(batch(1, 1)).finally(() => (isAnswered = true));
    await waitFor(() => timers.mock.calls.some(([, timeout]) => timeout === 7_000));
    jest.advanceTimersByTime(6_999);
    await client.post(); // a whole exchange later
    expect(isAnswered).toBe(false);
    jest.advanceTimersByTime(1);
    expect((await held).status).toBe(503);
    const messages = record(connection, 'message');
    connection.resume();
    expect((await client.post(batch(1, 1))).json).toEqual({ received: 2 });
    expect(messages.flat()).toEqual([0, 1]);
  });

  it('takes each message once, though its client repeats what was held', async () => {
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
