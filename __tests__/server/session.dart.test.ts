import type { IncomingMessage } from 'node:http';
import { addressOf, openChannel, record } from '../helpers/channel';
import type { Connection } from '../helpers/channel';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { openStream, post } from '../helpers/http';
import type { RawStream } from '../helpers/http';
import { waitFor } from '../helpers/wait-for';

/** A session opened as Dart's client and any EventSource do. */
async function openOne(options: Parameters<typeof openChannel>[0] = {}) {
  const channel = await openChannel(options);
  const stream = await openStream(addressOf(channel.url, 'a'));
  const { id } = await stream.take();
  const connection = channel.connections[0]!;
  /** Posts any value as JSON, with a message number. */
  const send = (number: number | undefined, message: unknown) =>
    post(addressOf(channel.url, 'a', number), JSON.stringify(message));
  const reconnect = (value?: string) =>
    openStream(addressOf(channel.url, 'a'), value === undefined ? {} : { 'Last-Event-ID': value });
  return { ...channel, stream, lastEventId: id!, connection, send, reconnect };
}

async function lose(stream: RawStream, connection: Connection): Promise<void> {
  stream.cut();
  await waitFor(() => !connection.connected);
}

describe('Session in the Dart dialect, receiving', () => {
  it('delivers messages in the order of their numbers, however they arrive', async () => {
    const { connection, send } = await openOne();
    const messages = record(connection, 'message');
    expect((await send(2, 'c')).json).toEqual({ received: 0 });
    expect((await send(1, 'b')).json).toEqual({ received: 0 });
    expect((await send(0, { any: 'json' })).json).toEqual({ received: 3 });
    expect(messages.flat()).toEqual([{ any: 'json' }, 'b', 'c']);
  });

  it('ignores a message that it has received before, because browsers repeat a POST whose socket was lost', async () => {
    const { connection, send } = await openOne();
    const messages = record(connection, 'message');
    await send(0, 'a');
    expect((await send(0, 'a')).json).toEqual({ received: 1 });
    await send(2, 'c');
    await send(2, 'c');
    await send(1, 'b');
    expect(messages.flat()).toEqual(['a', 'b', 'c']);
  });

  it('continues the numbering when the client reconnects', async () => {
    const { connection, send, stream, lastEventId, reconnect } = await openOne();
    const messages = record(connection, 'message');
    await send(0, 'a');
    await lose(stream, connection);
    await send(1, 'b');
    await reconnect(lastEventId);
    await send(2, 'c');
    expect(messages.flat()).toEqual(['a', 'b', 'c']);
  });

  it('delivers messages without a number immediately, and does not count them [dart]', async () => {
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
  ])('consumes the number of a message that %s', async (_, body, headers, status) => {
    const { connection, send, url } = await openOne({ maxPayload: 1000 });
    const messages = record(connection, 'message');
    await send(0, 'a');
    await send(2, 'c');
    expect((await post(addressOf(url, 'a', 1), body, headers)).status).toBe(status);
    await send(3, 'd');
    expect(messages.flat()).toEqual(['a', 'c', 'd']);
  });

  it('does not consume the number of a body that was cut off, because browsers send it again', async () => {
    const requests: IncomingMessage[] = [];
    const authorize = (request: IncomingMessage) => requests.push(request) > 0;
    const { connection, send, url } = await openOne({ authorize });
    const messages = record(connection, 'message');
    const controller = new AbortController();
    const body = new ReadableStream<Uint8Array>({
      start: (part) => part.enqueue(new TextEncoder().encode('"a')),
    });
    const init = { method: 'POST', body, duplex: 'half', signal: controller.signal };
    const cut = fetch(addressOf(url, 'a', 0), init as RequestInit).catch(() => 'cut');
    await waitFor(() => requests.length > 1);
    const isClosed = new Promise((done) => requests[1]!.on('close', done));
    controller.abort();
    await Promise.all([cut, isClosed]);
    await send(1, 'b');
    await send(0, 'a');
    expect(messages.flat()).toEqual(['a', 'b']);
  });

  it('rejects a number outside the reorder window with 409', async () => {
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

  it('closes with 1008 above maxBufferedAmount if the application does not read', async () => {
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
      [
        1008,
        'more than 100 bytes or 65536 messages unread (option "maxBufferedAmount")',
        { unacknowledged: [] },
      ],
    ]);
  });
});

describe('Session in the Dart dialect, while a message is missing', () => {
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

  it('closes with 1002 after reorderTimeout, and sends the control event', async () => {
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

  it('stays open if the missing message arrives in time', async () => {
    const { closes, messages, send } = await openWithGap();
    jest.advanceTimersByTime(2_999);
    await send(1, 'b');
    jest.advanceTimersByTime(60_000);
    expect([closes, messages.flat()]).toEqual([[], ['a', 'b', 'c']]);
  });

  it('closes while its stream is lost, and sends the control event when the client reconnects', async () => {
    const { closes, stream, connection, reconnect, lastEventId } = await openWithGap();
    await lose(stream, connection);
    jest.advanceTimersByTime(3_000);
    expect(closes).toHaveLength(1);
    const second = await reconnect(lastEventId);
    await second.take();
    expect(await second.take()).toEqual({ event: 'control', data: 'close' });
  });

  it('delivers nothing after the end, even if a rejected message fills the gap', async () => {
    const { closes, messages, stream, connection, url } = await openWithGap();
    await lose(stream, connection); // otherwise the session would be released
    jest.advanceTimersByTime(3_000);
    expect((await post(addressOf(url, 'a', 1), '{')).status).toBe(400);
    expect([closes.length, messages.flat()]).toEqual([1, ['a']]);
  });
});

describe('Session in the Dart dialect, opened with the Last-Event-ID of an unknown session', () => {
  /** Opens a session as an EventSource does whose server was restarted. */
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

  it('starts at the lowest number that arrives within 1 s after the first POST', async () => {
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

  it('rejects a lower number after the start with 409 and a clientError', async () => {
    const { send, sse, messages } = await openReturned();
    const errors = record(sse, 'clientError');
    await send(8, 'i');
    jest.advanceTimersByTime(1000);
    const reply = await send(7, 'h');
    expect([reply.status, reply.json]).toMatchObject([409, { code: 'out-of-window' }]);
    expect(errors).toHaveLength(1);
    expect(messages.flat()).toEqual(['i']);
  });

  it('starts immediately when number 0 arrives', async () => {
    const { send, messages } = await openReturned();
    await send(1, 'b');
    await send(0, 'a');
    expect(messages.flat()).toEqual(['a', 'b']);
    jest.advanceTimersByTime(60_000);
    expect((await send(2, 'c')).json).toEqual({ received: 3 });
  });

  it('counts no messages before the first one with a number', async () => {
    const { send } = await openReturned();
    expect((await send(undefined, 'x')).json).toEqual({ received: 0 });
  });

  it('starts after a rejected message that had the lowest number', async () => {
    const { send, url, messages } = await openReturned();
    await post(addressOf(url, 'a', 7), '{');
    await send(8, 'i');
    jest.advanceTimersByTime(1000);
    expect(messages.flat()).toEqual(['i']);
  });
});

describe('Session in the Dart dialect, sending', () => {
  it('precedes each message with the Last-Event-ID that counts it', async () => {
    const { connection, stream, lastEventId } = await openOne();
    const token = lastEventId.split('.')[0]!;
    expect(lastEventId).toBe(`${token}.0`);
    ['x', 'y'].forEach((message) => connection.send(message));
    await waitFor(() => stream.waiting() === 2);
    expect(stream.text()).toBe(
      `retry: 1000\nid: ${token}.0\nevent: hello\ndata: \n\nid: ${token}.1\ndata: "x"\n\nid: ${token}.2\ndata: "y"\n\n`,
    );
  });

  it('pings with an empty comment', async () => {
    const { stream } = await openOne({ heartbeatInterval: 30 });
    expect(await stream.take()).toEqual({ '': '' });
    expect(stream.text().endsWith('\n\n:\n\n')).toBe(true);
  });
});

describe('Session in the Dart dialect, after its stream was lost', () => {
  it('continues for a client with its token, and writes the messages that it lacks', async () => {
    const { connection, stream, reconnect, connections } = await openOne();
    const events = ['disconnect', 'reconnect', 'close'].map((event) => record(connection, event));
    ['x', 'y'].forEach((message) => connection.send(message));
    const { id, data } = await stream.take();
    expect(data).toBe('"x"');
    await lose(stream, connection);
    connection.send('z');
    const second = await reconnect(id);
    expect(await second.take()).toEqual({ retry: '1000', id, event: 'hello', data: '' });
    expect((await second.take()).data).toBe('"y"');
    expect((await second.take()).data).toBe('"z"');
    expect(events).toEqual([[[]], [[]], []]);
    expect(connections).toHaveLength(1);
  });

  it('continues on a second stream while the first one is open', async () => {
    const { stream, connection, reconnect, lastEventId } = await openOne();
    const events: string[] = [];
    connection.on('disconnect', () => events.push('disconnect'));
    connection.on('reconnect', () => events.push('reconnect'));
    connection.on('close', () => events.push('close'));
    const second = await reconnect(lastEventId);
    await second.take();
    await stream.ended;
    connection.send('x');
    expect(await second.takeData()).toBe('x');
    expect(events).toEqual(['disconnect', 'reconnect']);
  });

  it('reports as unacknowledged the messages that no socket accepted', async () => {
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

  it('replays the written messages within maxReplayBytes', async () => {
    const { connection, stream, reconnect, lastEventId } = await openOne({
      maxReplayBytes: 2 * 'data: "1"\n\n'.length,
    });
    const token = lastEventId.split('.')[0]!;
    ['1', '2', '3'].forEach((message) => connection.send(message));
    await waitFor(() => stream.waiting() === 3);
    const second = await reconnect(`${token}.1`);
    expect((await second.take()).id).toBe(`${token}.1`);
    expect([await second.takeData(), await second.takeData()]).toEqual(['2', '3']);
  });

  it('keeps messages that are not written yet beyond maxReplayBytes', async () => {
    const { connection, stream, reconnect, lastEventId } = await openOne({ maxReplayBytes: 0 });
    await lose(stream, connection);
    ['1', '2', '3'].forEach((message) => connection.send(message));
    const second = await reconnect(lastEventId);
    await second.take();
    expect([await second.takeData(), await second.takeData(), await second.takeData()]).toEqual([
      '1',
      '2',
      '3',
    ]);
    expect(connection.unacknowledgedAmount).toBe(0);
  });
});

describe('Session in the Dart dialect, closed by the server', () => {
  it('sends the control event of package:sse after all messages', async () => {
    const { connection, stream, sse, send } = await openOne();
    const closes = record(connection, 'close');
    connection.send('last');
    connection.close(4000, 'done');
    expect(await stream.takeData()).toBe('last');
    expect(await stream.take()).toEqual({ event: 'control', data: 'close' });
    expect(await stream.ended).toBe('ended');
    await waitFor(() => closes.length > 0);
    expect(closes).toEqual([[4000, 'done', { unacknowledged: [] }]]);
    expect(sse.connections.size).toBe(0);
    expect((await send(0, 'late')).status).toBe(404);
  });

  it('sends the control event when a client whose stream was lost reconnects', async () => {
    const { connection, stream, reconnect, lastEventId } = await openOne();
    const closes = record(connection, 'close');
    await lose(stream, connection);
    connection.close();
    const second = await reconnect(lastEventId);
    await second.take();
    expect(await second.take()).toEqual({ event: 'control', data: 'close' });
    await waitFor(() => closes.length > 0);
    expect(closes).toEqual([[1000, '', { unacknowledged: [] }]]);
  });

  it('sends the rest and the control event when a client that disconnected before reconnects', async () => {
    const { connection, stream, reconnect, lastEventId } = await openOne({
      maxBufferedAmount: Infinity,
      maxReplayBytes: Infinity,
    });
    const closes = record(connection, 'close');
    const large = 'x'.repeat(16 << 20);
    stream.pause();
    connection.send(large);
    connection.close(4000, 'done');
    await turn(); // it is written
    await turn();
    stream.cut();
    await waitFor(() => !connection.connected);
    expect(closes).toEqual([]);
    const second = await reconnect(lastEventId);
    await second.take();
    expect((await second.takeData()) === large).toBe(true);
    expect(await second.take()).toEqual({ event: 'control', data: 'close' });
  });
});
