import { setImmediate as turn } from 'node:timers/promises';
import { addressOf, openChannel, openDuplex, record } from '../helpers/channel';
import type { Channel } from '../helpers/channel';
import { openStream } from '../helpers/http';
import { waitFor } from '../helpers/wait-for';

/** Opens a session whose client accepts binary messages, and takes its `hello`. */
async function openBinary({ url, connections }: Channel, id = 'binary', headers = {}) {
  const stream = await openStream(`${addressOf(url, id)}&sseProtocol=2&sseBinary=1`, headers);
  const hello = (await stream.takeData()) as { token: string; binary?: unknown };
  return { stream, hello, connection: connections.at(-1)! };
}

describe('A session whose client accepts binary messages', () => {
  it('sends them in order among others, each in one line of data', async () => {
    const channel = await openChannel();
    const { stream, hello, connection } = await openBinary(channel);
    expect(hello.binary).toBe(true);
    connection.send('first');
    connection.send(Buffer.of(0, 255));
    connection.send(new ArrayBuffer(1));
    connection.send(['last']);
    const events = [
      await stream.take(),
      await stream.take(),
      await stream.take(),
      await stream.take(),
    ];
    expect(events).toEqual([
      { data: "'first" },
      { data: '=AP8=' },
      { data: '=AA==' },
      { data: '["last"]' },
    ]);
  });

  it('sends them again on its next stream, where they count as messages', async () => {
    const channel = await openChannel();
    const { stream, hello, connection } = await openBinary(channel);
    for (const message of [Buffer.of(1), 2, Buffer.of(3)]) connection.send(message);
    await waitFor(() => stream.waiting() === 3);
    stream.cut();
    await waitFor(() => !connection.connected);
    const next = await openBinary(channel, 'binary', { 'Last-Event-ID': `${hello.token}.1` });
    expect(next.hello).toMatchObject({ resumed: true, sent: 1, binary: true });
    expect([await next.stream.take(), await next.stream.take()]).toEqual([
      { data: '2' },
      { data: '=Aw==' },
    ]);
  });

  it('lists those that were not acknowledged in its close event', async () => {
    const channel = await openChannel();
    const { stream, connection } = await openBinary(channel);
    const closes = record(connection, 'close');
    connection.send(Buffer.of(7));
    connection.send('text');
    await waitFor(() => stream.waiting() === 2);
    stream.cut();
    await waitFor(() => !connection.connected);
    await channel.sse.close(1001);
    expect(closes).toEqual([[1001, '', { unacknowledged: [Buffer.of(7), 'text'] }]]);
  });
});

describe('A session whose client accepts binary messages on one stream, and not on the next', () => {
  it('sends again as JSON what it has sent as text', async () => {
    const channel = await openChannel();
    const { stream, hello, connection } = await openBinary(channel, 'a');
    connection.send('text');
    connection.send([1]);
    await waitFor(() => stream.waiting() === 2);
    stream.cut();
    await waitFor(() => !connection.connected);
    const next = await openStream(`${addressOf(channel.url, 'a')}&sseProtocol=2`, {
      'Last-Event-ID': `${hello.token}.0`,
    });
    await next.take(); // hello
    connection.send('later');
    expect([await next.takeData(), await next.takeData(), await next.takeData()]).toEqual([
      'text',
      [1],
      'later',
    ]);
    expect(connection.unacknowledgedAmount).toBe(14 + 11 + 15);
  });

  it('is closed with code 1003 after the messages before the first one of bytes', async () => {
    const channel = await openChannel();
    const { stream, hello, connection } = await openBinary(channel, 'a');
    for (const message of ['text', Buffer.of(1), 'after']) connection.send(message);
    await waitFor(() => stream.waiting() === 3);
    stream.cut();
    await waitFor(() => !connection.connected);
    const next = await openStream(`${addressOf(channel.url, 'a')}&sseProtocol=2`, {
      'Last-Event-ID': `${hello.token}.0`,
    });
    await next.take(); // hello
    expect(await next.takeData()).toBe('text');
    expect(await next.takeData()).toMatchObject({ code: 1003 });
  });

  it('reports the bytes, and the messages after them, as unacknowledged when it is closed', async () => {
    const channel = await openChannel();
    const { stream, hello, connection } = await openBinary(channel, 'a');
    const closes = record(connection, 'close');
    for (const message of ['acknowledged', 'text', Buffer.of(1), 'after']) connection.send(message);
    await waitFor(() => stream.waiting() === 4);
    const next = await openStream(`${addressOf(channel.url, 'a')}&sseProtocol=2`, {
      'Last-Event-ID': `${hello.token}.1`,
    });
    expect(await next.ended).toBe('ended');
    await waitFor(() => !connection.connected);
    await channel.sse.close(1001);
    const unacknowledged = ['text', Buffer.of(1), 'after'];
    const reason = 'the client does not accept binary messages';
    expect(closes).toEqual([[1003, reason, { unacknowledged }]]);
  });
});

describe('A session whose client does not accept binary messages', () => {
  it('is closed with code 1003 by a binary message, after the messages before it', async () => {
    const channel = await openChannel();
    const { stream, hello } = await openDuplex(channel.url);
    const [connection] = channel.connections;
    expect(hello).not.toHaveProperty('binary');
    connection!.send('before');
    expect(connection!.send(Buffer.of(1))).toBe(false);
    expect(connection!.send('after')).toBe(false);
    expect(await stream.take()).toEqual({ data: '"before"' });
    expect(await stream.take()).toEqual({
      event: 'close',
      data: '{"code":1003,"reason":"the client does not accept binary messages"}',
    });
  });

  it('is closed with code 1003 by a broadcast that the others receive', async () => {
    const channel = await openChannel();
    const duplex = await openDuplex(channel.url);
    const dart = await openStream(addressOf(channel.url, 'dart'));
    const [duplexConnection, dartConnection] = channel.connections;
    const { stream: binary } = await openBinary(channel);
    const closes = record(duplexConnection!, 'close');
    const dartCloses = record(dartConnection!, 'close');
    channel.sse.broadcast(Buffer.of(1));
    channel.sse.broadcast('text');
    expect([await binary.take(), await binary.take()]).toEqual([
      { data: '=AQ==' },
      { data: '"text"' },
    ]);
    expect(await duplex.stream.take()).toMatchObject({ event: 'close' });
    await duplex.post({ close: { code: 1003, reason: '' } });
    await waitFor(() => closes.length + dartCloses.length === 2);
    expect([closes[0]![0], dartCloses[0]![0]]).toEqual([1003, 1003]);
    expect(await dart.ended).toBe('ended');
  });

  it('stays open in the Dart dialect, where send throws a TypeError', async () => {
    const channel = await openChannel();
    const stream = await openStream(addressOf(channel.url, 'dart'));
    await stream.take(); // retry and id
    const [connection] = channel.connections;
    expect(() => connection!.send(new Uint8Array(1))).toThrow(
      new TypeError('cannot send: a client of the Dart dialect accepts only JSON'),
    );
    connection!.send('text');
    expect(await stream.take()).toMatchObject({ data: '"text"' });
  });
});

describe('The binary messages of a POST', () => {
  async function openOne(options = {}) {
    const { url, connections } = await openChannel(options);
    const client = await openDuplex(url);
    return { client, messages: record(connections[0]!, 'message') };
  }

  it('are those whose indices it lists, and become Buffers', async () => {
    const { client, messages } = await openOne();
    const envelope = { messages: ['AAEC', 'AAEC', { a: 1 }, ''], binary: [1, 3] };
    expect((await client.post(envelope)).json).toEqual({ received: 4 });
    expect(messages.flat()).toEqual(['AAEC', Buffer.of(0, 1, 2), { a: 1 }, Buffer.alloc(0)]);
  });

  it('stay binary while they wait for a message before them', async () => {
    const { client, messages } = await openOne();
    await client.post({ id: 1, messages: ['AAEC', 'AAEC'], binary: [1] });
    await client.post({ messages: ['/w=='], binary: [0] });
    expect(messages.flat()).toEqual([Buffer.of(255), 'AAEC', Buffer.of(0, 1, 2)]);
  });

  it.each([
    ['an index without a message', [1]],
    ['an index that is no number', ['0']],
    ['an index that occurs twice', [0, 0]],
    ['a negative index', [-1]],
    ['no list', 0],
  ])('are rejected with 400 for %s', async (_, binary) => {
    const { client, messages } = await openOne();
    const { status, json } = await client.post({ messages: ['AAEC'], binary });
    expect([status, json]).toMatchObject([400, { code: 'bad-request' }]);
    await turn();
    expect(messages).toEqual([]);
  });

  it('are rejected with 400 if they are not base64', async () => {
    const { client } = await openOne();
    const { status } = await client.post({ messages: ['AA!C'], binary: [0] });
    expect(status).toBe(400);
  });

  it('count towards maxPayload with the list of their indices', async () => {
    const { client } = await openOne({ maxPayload: 100 });
    const fits = {
      messages: Array.from({ length: 10 }, () => ''),
      binary: Array.from({ length: 10 }, (_, i) => i),
    };
    expect((await client.post(fits)).status).toBe(200);
    const binary = Array.from({ length: 1_000 }, (_, i) => i);
    const tooMany = { id: 10, messages: binary.map(() => ''), binary };
    expect((await client.post(tooMany)).status).toBe(413);
  });
});
