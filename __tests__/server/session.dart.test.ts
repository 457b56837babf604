import { addressOf, openChannel, record } from '../helpers/channel';
import type { Connection } from '../helpers/channel';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { sendRequest, openStream, post } from '../helpers/http';
import type { RawStream } from '../helpers/http';
import { waitFor } from '../helpers/wait-for';

/** A session opened as Dart's client and any EventSource do. */
async function openOne(options: Parameters<typeof openChannel>[0] = {}) {
  const channel = await openChannel(options);
  const stream = await openStream(addressOf(channel.url, 'a'));
  const { id } = await stream.take();
  const connection = channel.connections[0]!;
  /** JSON of any value as one numbered POST. */
  const send = (number: number | undefined, message: unknown) =>
    post(addressOf(channel.url, 'a', number), JSON.stringify(message));
  const comeBack = (proof?: string) =>
    openStream(addressOf(channel.url, 'a'), proof === undefined ? {} : { 'Last-Event-ID': proof });
  return { ...channel, stream, proof: id!, connection, send, comeBack };
}

async function lose(stream: RawStream, connection: Connection): Promise<void> {
  stream.cut();
  await waitFor(() => !connection.connected);
}

describe('a base session, up', () => {
  it('delivers messages in the order of their numbers, however they come', async () => {
    const { connection, send } = await openOne();
    const messages = record(connection, 'message');
    expect((await send(2, 'c')).json).toEqual({ received: 0 });
    expect((await send(1, 'b')).json).toEqual({ received: 0 });
    expect((await send(0, { any: 'json' })).json).toEqual({ received: 3 });
    expect(messages.flat()).toEqual([{ any: 'json' }, 'b', 'c']);
  });

  it('drops what came already: browsers send a POST again when its socket dies', async () => {
    const { connection, send } = await openOne();
    const messages = record(connection, 'message');
    await send(0, 'a');
    expect((await send(0, 'a')).json).toEqual({ received: 1 });
    await send(2, 'c');
    await send(2, 'c');
    await send(1, 'b');
    expect(messages.flat()).toEqual(['a', 'b', 'c']);
  });

  it('goes on counting over streams', async () => {
    const { connection, send, stream, proof, comeBack } = await openOne();
    const messages = record(connection, 'message');
    await send(0, 'a');
    await lose(stream, connection);
    await send(1, 'b');
    await comeBack(proof);
    await send(2, 'c');
    expect(messages.flat()).toEqual(['a', 'b', 'c']);
  });

  it('delivers messages without a number at once, and leaves the count alone [dart]', async () => {
    const { connection, send } = await openOne();
    const messages = record(connection, 'message');
    await send(1, 'numbered');
    await send(undefined, 'x');
    await send(undefined, 'x');
    expect(messages.flat()).toEqual(['x', 'x']);
    await send(0, 'first');
    expect(messages.flat()).toEqual(['x', 'x', 'first', 'numbered']);
  });

  it.each([
    ['is not JSON', '{', {}, 400],
    ['is empty', '', {}, 400],
    ['is too large', JSON.stringify('x'.repeat(5000)), {}, 413],
    ['is of another type', '1', { 'Content-Type': 'text/html' }, 415],
  ])(
    'goes on after a message that %s: it consumes its number',
    async (_, body, headers, status) => {
      const { connection, send, url } = await openOne({ maxPayload: 1000 });
      const messages = record(connection, 'message');
      await send(0, 'a');
      await send(2, 'c');
      expect((await post(addressOf(url, 'a', 1), body, headers)).status).toBe(status);
      await send(3, 'd');
      expect(messages.flat()).toEqual(['a', 'c', 'd']);
    },
  );

  it('does not consume the number of a body that was cut: the browser sends it again', async () => {
    const { connection, send, url, server } = await openOne();
    const messages = record(connection, 'message');
    const requests = record(server, 'request');
    const controller = new AbortController();
    const body = new ReadableStream<Uint8Array>({
      start: (part) => part.enqueue(new TextEncoder().encode('"a')),
    });
    const init = { method: 'POST', body, duplex: 'half', signal: controller.signal };
    const cut = fetch(addressOf(url, 'a', 0), init as RequestInit).catch(() => 'cut');
    await waitFor(() => requests.length > 0);
    const isGone = new Promise((done) => (requests[0]![0] as RawRequest).on('close', done));
    controller.abort();
    await Promise.all([cut, isGone]);
    await send(1, 'b');
    await send(0, 'a');
    expect(messages.flat()).toEqual(['a', 'b']);
  });

  it("does not consume a number for another's refused body", async () => {
    const { url, connections } = await openChannel({
      authorize: (request) => request.headers['x-user'] as string,
    });
    await openStream(addressOf(url, 'a'), { 'x-user': 'ann' });
    const messages = record(connections[0]!, 'message');
    expect((await post(addressOf(url, 'a', 0), '{', { 'x-user': 'bob' })).status).toBe(400);
    expect((await post(addressOf(url, 'a', 0), '1', { 'x-user': 'bob' })).status).toBe(404);
    await post(addressOf(url, 'a', 0), '"x"', { 'x-user': 'ann' });
    expect(messages).toEqual([['x']]);
  });

  it('does not let a refused body of an unknown session matter', async () => {
    const { url } = await openChannel();
    expect((await post(addressOf(url, 'b', 0), '{')).status).toBe(400);
  });

  it('answers 409 to a number outside the window', async () => {
    const { connection, send, sse } = await openOne({ reorderWindow: 2 });
    const messages = record(connection, 'message');
    const errors = record(sse, 'clientError');
    expect((await send(2, 'c')).status).toBe(200);
    const reply = await send(3, 'd');
    expect([reply.status, reply.json]).toMatchObject([409, { code: 'out-of-window' }]);
    expect(errors).toHaveLength(1);
    await send(1, 'b');
    await send(0, 'a');
    expect(messages.flat()).toEqual(['a', 'b', 'c']);
  });

  it('is closed at maxBufferedAmount where the application does not read: its client cannot wait', async () => {
    const { connection, send, stream } = await openOne({ maxBufferedAmount: 100 });
    connection.pause();
    const closes = record(connection, 'close');
    const messages = record(connection, 'message');
    await send(0, 'a'.repeat(60));
    await send(1, 'b'.repeat(60));
    expect(connection.readyState).toBe(3);
    expect(await stream.take()).toEqual({ event: 'control', data: 'close' });
    connection.resume();
    await turn();
    expect(messages).toHaveLength(2);
    expect(closes).toEqual([
      [1008, 'more than 100 bytes unread (option "maxBufferedAmount")', { unacknowledged: [] }],
    ]);
  });

  it('answers 404 to the POST of a session that there is not', async () => {
    const { url } = await openOne();
    expect((await post(addressOf(url, 'b', 0), '1')).status).toBe(404);
  });
});

describe('a gap in what a base session receives', () => {
  const REASON = 'message 1 did not arrive within 3000 ms (option "reorderTimeout")';

  async function openWithGap() {
    const all = await openOne({ reorderTimeout: 3000 });
    const messages = record(all.connection, 'message');
    const closes = record(all.connection, 'close');
    useFakeTimeouts();
    await all.send(0, 'a');
    await all.send(2, 'c');
    return { ...all, messages, closes };
  }

  it('ends it after reorderTimeout, both sides told', async () => {
    const { closes, messages, stream, send } = await openWithGap();
    jest.advanceTimersByTime(2_999);
    expect(closes).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(closes).toEqual([[1002, REASON, { unacknowledged: [] }]]);
    expect(messages).toEqual([['a']]);
    expect(await stream.take()).toEqual({ event: 'control', data: 'close' });
    expect(await stream.ended).toBe('ended');
    expect((await send(1, 'b')).status).toBe(404);
  });

  it('ends it where the first message is missing, too', async () => {
    const { connection, send } = await openOne({ reorderTimeout: 3000 });
    const closes = record(connection, 'close');
    useFakeTimeouts();
    await send(1, 'b');
    jest.advanceTimersByTime(3_000);
    expect(closes).toMatchObject([[1002, expect.stringContaining('message 0 '), {}]]);
  });

  it('that fills in time ends nothing', async () => {
    const { closes, messages, send } = await openWithGap();
    jest.advanceTimersByTime(2_999);
    await send(1, 'b');
    jest.advanceTimersByTime(60_000);
    expect([closes, messages.flat()]).toEqual([[], ['a', 'b', 'c']]);
  });

  it('is timed from its own beginning', async () => {
    const { closes, send } = await openWithGap();
    await send(4, 'e');
    jest.advanceTimersByTime(2_000);
    await send(1, 'b'); // now 3 is missing
    jest.advanceTimersByTime(2_999);
    expect(closes).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(closes).toMatchObject([[1002, expect.stringContaining('message 3 '), {}]]);
  });

  it('is not given more time by what comes after it', async () => {
    const { closes, send } = await openWithGap();
    jest.advanceTimersByTime(2_000);
    await send(3, 'd');
    jest.advanceTimersByTime(1_000);
    expect(closes).toHaveLength(1);
  });

  it('ends it also while the stream is lost: the client learns when it comes back', async () => {
    const { closes, stream, connection, comeBack, proof } = await openWithGap();
    await lose(stream, connection);
    jest.advanceTimersByTime(3_000);
    expect(closes).toHaveLength(1);
    const again = await comeBack(proof);
    await again.take();
    expect(await again.take()).toEqual({ event: 'control', data: 'close' });
  });

  it('delivers nothing after the end, though a refused body then fills it', async () => {
    const { closes, messages, stream, connection, url } = await openWithGap();
    await lose(stream, connection); // or the session would be gone
    jest.advanceTimersByTime(3_000);
    expect((await post(addressOf(url, 'a', 1), '{')).status).toBe(400);
    expect([closes.length, messages.flat()]).toEqual([1, ['a']]);
  });
});

describe('a base client that comes back to a session that is no more', () => {
  /** Its EventSource sends the last id it saw, of a server that was, say, restarted. */
  async function openReturned(options = {}) {
    const channel = await openChannel(options);
    const stream = await openStream(addressOf(channel.url, 'a'), {
      'Last-Event-ID': 'tokenOfAnEarlierTime.7',
    });
    await stream.take();
    const connection = channel.connections[0]!;
    const messages = record(connection, 'message');
    const send = (number: number | undefined, message: unknown) =>
      post(addressOf(channel.url, 'a', number), JSON.stringify(message));
    useFakeTimeouts();
    return { ...channel, stream, connection, messages, send };
  }

  it('is a new connection, whose order starts at the lowest number within 1 s of its first POST', async () => {
    const { messages, send, connections } = await openReturned();
    jest.advanceTimersByTime(60_000); // the time starts with the first POST
    await send(8, 'i');
    jest.advanceTimersByTime(500);
    await send(7, 'h');
    await send(9, 'j');
    jest.advanceTimersByTime(499);
    expect(messages).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(messages.flat()).toEqual(['h', 'i', 'j']);
    await send(10, 'k');
    expect(messages.flat()).toEqual(['h', 'i', 'j', 'k']);
    expect(connections).toHaveLength(1);
  });

  it('has a lower number after that refused with 409 and a clientError, never silence', async () => {
    const { send, sse, messages } = await openReturned();
    const errors = record(sse, 'clientError');
    await send(8, 'i');
    jest.advanceTimersByTime(1000);
    const reply = await send(7, 'h');
    expect([reply.status, reply.json]).toMatchObject([409, { code: 'out-of-window' }]);
    expect(errors).toHaveLength(1);
    expect(messages.flat()).toEqual(['i']);
  });

  it('starts at 0 at once where that comes: a new client of the same name', async () => {
    const { send, messages } = await openReturned();
    await send(1, 'b');
    await send(0, 'a');
    expect(messages.flat()).toEqual(['a', 'b']);
    jest.advanceTimersByTime(60_000);
    expect((await send(2, 'c')).json).toEqual({ received: 3 });
  });

  it('has a gap watched as any other', async () => {
    const { send, connection } = await openReturned({ reorderTimeout: 3000 });
    const closes = record(connection, 'close');
    await send(7, 'h');
    await send(9, 'j');
    jest.advanceTimersByTime(1_000);
    jest.advanceTimersByTime(3_000);
    expect(closes).toMatchObject([[1002, expect.stringContaining('message 8 '), {}]]);
  });

  it('starts after a refused body that was the lowest', async () => {
    const { send, url, messages } = await openReturned();
    await post(addressOf(url, 'a', 7), '{');
    await send(8, 'i');
    jest.advanceTimersByTime(1000);
    expect(messages.flat()).toEqual(['i']);
  });

  it('needs no timer for messages without a number', async () => {
    const { send, messages } = await openReturned();
    const timers = jest.getTimerCount();
    await send(undefined, 'x');
    expect(messages).toEqual([['x']]);
    await waitFor(() => jest.getTimerCount() <= timers); // the body's own is cleared
  });
});

describe('a base session whose stream is lost', () => {
  it('goes on for a client with the proof, and writes again what it lacks', async () => {
    const { connection, stream, comeBack, connections } = await openOne();
    const events = ['disconnect', 'reconnect', 'close'].map((event) => record(connection, event));
    ['x', 'y'].forEach((message) => connection.send(message));
    const { id, data } = await stream.take();
    expect(data).toBe('"x"');
    await lose(stream, connection);
    connection.send('z');
    const again = await comeBack(id);
    expect(await again.take()).toEqual({ retry: '1000', id });
    expect((await again.take()).data).toBe('"y"');
    expect((await again.take()).data).toBe('"z"');
    expect(events).toEqual([[[]], [[]], []]);
    expect(connections).toHaveLength(1);
  });

  it('numbers each message with the proof of having it', async () => {
    const { connection, stream, proof } = await openOne();
    const token = proof.split('.')[0]!;
    expect(proof).toBe(`${token}.0`);
    ['x', 'y'].forEach((message) => connection.send(message));
    await waitFor(() => stream.waiting() === 2);
    expect(stream.text()).toBe(
      `retry: 1000\nid: ${token}.0\n\nid: ${token}.1\ndata: "x"\n\nid: ${token}.2\ndata: "y"\n\n`,
    );
  });

  it('is taken over by a GET with the proof while the old stream stands', async () => {
    const { stream, connection, comeBack, proof } = await openOne();
    const events: string[] = [];
    connection.on('disconnect', () => events.push('disconnect'));
    connection.on('reconnect', () => events.push('reconnect'));
    connection.on('close', () => events.push('close'));
    const again = await comeBack(proof);
    await again.take();
    await stream.ended;
    connection.send('x');
    expect(await again.takeData()).toBe('x');
    expect(events).toEqual(['disconnect', 'reconnect']);
  });

  it('answers a GET without the proof with 409 while its stream stands, and disturbs nobody', async () => {
    const { url, connection, connections, stream } = await openOne();
    for (const headers of [{}, { 'Last-Event-ID': 'wrong.0' }, { 'Last-Event-ID': 'rubbish' }]) {
      const reply = await sendRequest(addressOf(url, 'a'), { headers });
      expect([reply.status, JSON.parse(reply.text)]).toMatchObject([
        409,
        { code: 'session-conflict' },
      ]);
    }
    connection.send('x');
    expect(await stream.takeData()).toBe('x');
    expect(connections).toHaveLength(1);
  });

  it('closes for a GET without the proof, and is never told to the stranger', async () => {
    const { connection, connections, stream, comeBack, proof, sse } = await openOne();
    const closes = record(connection, 'close');
    await lose(stream, connection);
    connection.send('secret');
    const stranger = await comeBack();
    const { id } = await stranger.take();
    expect(id!.split('.')[0]).not.toBe(proof.split('.')[0]);
    expect(closes).toEqual([
      [1006, 'the client came back without resuming the session', { unacknowledged: ['secret'] }],
    ]);
    expect([...sse.connections]).toEqual([connections[1]]);
    connections[1]!.send('for the stranger');
    expect(await stranger.takeData()).toBe('for the stranger');
    expect(stranger.text()).not.toContain('secret');
  });

  it("starts anew for a client of another principal, and keeps its session's messages", async () => {
    const { url, connections } = await openChannel({
      authorize: (request) => request.headers['x-user'] as string,
    });
    const stream = await openStream(addressOf(url, 'a'), { 'x-user': 'ann' });
    const { id } = await stream.take();
    const headers = { 'x-user': 'bob', 'Last-Event-ID': id };
    expect((await sendRequest(addressOf(url, 'a'), { headers })).status).toBe(409);
    connections[0]!.send('for ann');
    expect(await stream.takeData()).toBe('for ann');
  });

  it('names as unacknowledged what no socket had taken', async () => {
    const { connection, stream } = await openOne({ reconnectTimeout: 1000 });
    const closes = record(connection, 'close');
    connection.send('written');
    await stream.take();
    useFakeTimeouts();
    await lose(stream, connection);
    connection.send('never');
    jest.advanceTimersByTime(1000);
    expect(closes).toEqual([
      [1006, 'the client did not reconnect within 1000 ms', { unacknowledged: ['never'] }],
    ]);
  });

  it('beats with a comment', async () => {
    const { stream } = await openOne({ heartbeatInterval: 30 });
    expect(await stream.take()).toEqual({ '': '' });
    expect(stream.text().endsWith('\n\n:\n\n')).toBe(true);
  });
});

describe('maxReplayBytes', () => {
  const frame = (text: string) => `data: "${text}"\n\n`.length;

  it('lets the oldest written messages go past it, and keeps the others', async () => {
    const { connection, stream, comeBack, proof } = await openOne({
      maxReplayBytes: 2 * frame('1'),
    });
    const token = proof.split('.')[0]!;
    ['1', '2', '3'].forEach((message) => connection.send(message));
    await waitFor(() => stream.waiting() === 3);
    const again = await comeBack(`${token}.1`);
    expect((await again.take()).id).toBe(`${token}.1`);
    expect([await again.takeData(), await again.takeData()]).toEqual(['2', '3']);
  });

  it('passed by a client, which gets a new session, and never a hole in an old one', async () => {
    const { connection, connections, stream, comeBack, proof } = await openOne({
      maxReplayBytes: 2 * frame('1'),
    });
    const closes = record(connection, 'close');
    ['1', '2', '3'].forEach((message) => connection.send(message));
    await waitFor(() => stream.waiting() === 3);
    await lose(stream, connection);
    const again = await comeBack(proof);
    expect((await again.take()).id!.split('.')[0]).not.toBe(proof.split('.')[0]);
    expect(closes).toMatchObject([[1006, expect.stringContaining('without resuming'), {}]]);
    expect(connections).toHaveLength(2);
  });

  it('counts what was written only: what waits is not let go of', async () => {
    const { connection, stream, comeBack, proof } = await openOne({ maxReplayBytes: 0 });
    await lose(stream, connection);
    ['1', '2', '3'].forEach((message) => connection.send(message));
    const again = await comeBack(proof);
    await again.take();
    expect([await again.takeData(), await again.takeData(), await again.takeData()]).toEqual([
      '1',
      '2',
      '3',
    ]);
    expect(connection.unacknowledgedAmount).toBe(0);
  });
});

describe('the end of a base session', () => {
  it('by the server comes after what was sent, with the control event that Dart knows', async () => {
    const { connection, stream, sse, send } = await openOne();
    const closes = record(connection, 'close');
    connection.send('last');
    connection.close(4000, 'bye');
    expect(await stream.takeData()).toBe('last');
    expect(await stream.take()).toEqual({ event: 'control', data: 'close' });
    expect(await stream.ended).toBe('ended');
    await waitFor(() => closes.length > 0);
    expect(closes).toEqual([[4000, 'bye', { unacknowledged: [] }]]);
    expect(sse.connections.size).toBe(0);
    expect((await send(0, 'late')).status).toBe(404);
  });

  it('by the server is told when the client comes back', async () => {
    const { connection, stream, comeBack, proof } = await openOne();
    const closes = record(connection, 'close');
    await lose(stream, connection);
    connection.close();
    const again = await comeBack(proof);
    await again.take();
    expect(await again.take()).toEqual({ event: 'control', data: 'close' });
    await waitFor(() => closes.length > 0);
    expect(closes).toEqual([[1000, '', { unacknowledged: [] }]]);
  });

  it('is not done when the client went before it had all: it is told when it comes back', async () => {
    const { connection, stream, comeBack, proof } = await openOne({
      maxBufferedAmount: Infinity,
      maxReplayBytes: Infinity,
    });
    const closes = record(connection, 'close');
    const large = 'x'.repeat(16 << 20);
    stream.pause();
    connection.send(large);
    connection.close(4000, 'bye');
    await turn(); // it is written
    await turn();
    stream.cut();
    await waitFor(() => !connection.connected);
    expect(closes).toEqual([]);
    const again = await comeBack(proof);
    await again.take();
    expect((await again.takeData()) === large).toBe(true);
    expect(await again.take()).toEqual({ event: 'control', data: 'close' });
  });
});

interface RawRequest {
  on(event: 'close', listener: (value: unknown) => void): void;
}
