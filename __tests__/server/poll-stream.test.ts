import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { PollStream } from '../../lib/server/poll-stream';
import { Agent } from 'node:http';
import { addressOf, listen, openChannel, record } from '../helpers/channel';
import type { Channel, Connection, HelloData } from '../helpers/channel';
import { useFakeTimeouts } from '../helpers/fake-timeouts';
import { openStream, post, sendRequest } from '../helpers/http';
import type { Reply } from '../helpers/http';
import { onTestFinished } from '../helpers/on-test-finished';
import { composeRequest } from '../helpers/pipeline';
import { waitFor } from '../helpers/wait-for';
import { exchange } from '../security/raw-socket';

/** A client that polls, without `SseClient`. */
interface Poller extends Channel {
  connection: Connection;
  token: string;
  first: Reply;
  /** Sends a poll, which acknowledges this number of messages. */
  poll(received: number): Promise<Reply>;
  post(envelope?: object): Promise<unknown>;
}

/** The events of a poll, without `hello`. */
function eventsOf({ text }: Reply): string[] {
  return text.split('\n\n').slice(1, -1);
}

function helloOf({ text }: Reply): HelloData {
  return JSON.parse(/^data: (.*)$/m.exec(text)![1]!) as HelloData;
}

/** Opens a channel whose sessions end with the test, although no client waits for the close event. */
async function openPolled(options: Parameters<typeof openChannel>[0] = {}): Promise<Channel> {
  const channel = await openChannel({ drainTimeout: 0, ...options });
  onTestFinished(() => channel.sse.close());
  return channel;
}

async function openPoller(options: Parameters<typeof openChannel>[0] = {}): Promise<Poller> {
  const channel = await openPolled(options);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  const address = `${addressOf(channel.url, 'a')}&sseProtocol=2&ssePoll=1`;
  const first = await sendRequest(address, { agent });
  const { token } = helloOf(first);
  return {
    ...channel,
    first,
    token,
    connection: channel.connections[0]!,
    poll: (received) =>
      sendRequest(address, { agent, headers: { 'Last-Event-ID': `${token}.${received}` } }),
    post: async (envelope = {}) => {
      const body = { token, id: 0, ack: 0, messages: [], ...envelope };
      return (await post(addressOf(channel.url, 'a'), JSON.stringify(body))).json;
    },
  };
}

/** Waits until the server holds a poll. */
async function held({ sse }: Channel): Promise<void> {
  await waitFor(() => sse.stats().bufferedAmount > 0); // its handshake
}

describe('A poll', () => {
  it('that opens a session is answered at once, as a complete response on a connection that stays open', async () => {
    const { first } = await openPoller();
    expect(first.status).toBe(200);
    expect(first.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'content-length': String(Buffer.byteLength(first.text)),
      'cache-control': 'no-store, no-transform',
      connection: 'keep-alive',
      'sse-protocol': '2',
    });
    expect(helloOf(first)).toMatchObject({ resumed: false, sent: 0, received: 0 });
    expect(eventsOf(first)).toEqual(['event: ping\ndata: {"sent":0,"received":0}']);
  });

  it('contains what was sent since the last one', async () => {
    const { connection, poll } = await openPoller();
    connection.send('a');
    connection.send('b');
    const reply = await poll(0);
    expect(helloOf(reply)).toMatchObject({ resumed: true, sent: 0 });
    expect(eventsOf(reply)).toEqual(['data: "a"', 'data: "b"']);
  });

  it('is held until a message is sent, and ends with all messages of that turn', async () => {
    const poller = await openPoller();
    const reply = poller.poll(0);
    await held(poller);
    poller.connection.send('a');
    poller.connection.send('b');
    expect(eventsOf(await reply)).toEqual(['data: "a"', 'data: "b"']);
  });

  it('contains the reply to a message that arrives while it is held', async () => {
    const poller = await openPoller();
    poller.connection.on('message', (message) => poller.connection.send({ echo: message }));
    const reply = poller.poll(0);
    await held(poller);
    expect(await poller.post({ messages: [1] })).toEqual({ received: 1 });
    expect(eventsOf(await reply)).toEqual(['data: {"echo":1}']);
  });

  it('ends with a ping after a heartbeat interval', async () => {
    const poller = await openPoller({ heartbeatInterval: 50 });
    expect(eventsOf(await poller.poll(0))).toEqual(['event: ping\ndata: {"sent":0,"received":0}']);
  });

  it('writes a message again that the client has not received', async () => {
    const { connection, poll } = await openPoller();
    connection.send('a');
    await poll(0);
    connection.send('b');
    expect(eventsOf(await poll(0))).toEqual(['data: "a"', 'data: "b"']);
    connection.send('c');
    expect(eventsOf(await poll(2))).toEqual(['data: "c"']);
  });

  it('has about 256 KiB of messages, and leaves the rest to the next one', async () => {
    const { connection, poll } = await openPoller();
    const text = 'x'.repeat(10_000);
    for (let i = 0; i < 60; i++) connection.send(text);
    let received = 0;
    const counts: number[] = [];
    while (received < 60) {
      counts.push(eventsOf(await poll(received)).length);
      received += counts.at(-1)!;
    }
    expect(counts).toEqual([28, 28, 4]);
    expect(received).toBe(60);
  });

  it('announces that a POST is due after 1.5 heartbeat intervals', async () => {
    const { first } = await openPoller({ heartbeatInterval: 1_000 });
    expect(helloOf(first)).toMatchObject({ ackAfter: { idle: 1_500 } });
  });

  it('works in the Dart dialect', async () => {
    const { url, connections } = await openPolled();
    const address = `${addressOf(url, 'a')}&ssePoll=1`;
    const first = await sendRequest(address);
    const id = /^id: (.*)\.0$/m.exec(first.text)![1]!;
    connections[0]!.send('a');
    const reply = await sendRequest(address, { headers: { 'Last-Event-ID': `${id}.0` } });
    expect(reply.text).toContain(`id: ${id}.1\ndata: "a"\n\n`);
    expect(connections.length).toBe(1);
  });
});

describe('A session whose client polls', () => {
  it('emits neither "disconnect" nor "reconnect", and stays connected between two polls', async () => {
    const { connection, poll, sse } = await openPoller();
    const events = [record(connection, 'disconnect'), record(connection, 'reconnect')];
    for (let i = 0; i < 3; i++) {
      connection.send(i);
      await poll(i);
      expect([connection.connected, sse.stats().connected]).toEqual([true, 1]);
    }
    expect(events.flat()).toEqual([]);
    expect(sse.stats().resumed).toBe(0);
  });

  it('emits "disconnect" when a poll is aborted, and "reconnect" with the next, which is answered at once', async () => {
    const poller = await openPoller();
    const { connection, url, token } = poller;
    const disconnects = record(connection, 'disconnect');
    const reconnects = record(connection, 'reconnect');
    const address = `${addressOf(url, 'a')}&sseProtocol=2&ssePoll=1`;
    const aborted = new AbortController();
    const headers = { 'Last-Event-ID': `${token}.0` };
    const failed = fetch(address, { headers, signal: aborted.signal }).catch(() => 'aborted');
    await held(poller);
    aborted.abort();
    expect(await failed).toBe('aborted');
    await waitFor(() => disconnects.length > 0);
    expect(connection.connected).toBe(false);
    expect(eventsOf(await poller.poll(0))).toEqual([expect.stringContaining('event: ping')]);
    expect(reconnects.length).toBe(1);
    expect(poller.sse.stats().resumed).toBe(1);
  });

  it('replaces a poll that is held with a newer one', async () => {
    const poller = await openPoller();
    const address = `${addressOf(poller.url, 'a')}&sseProtocol=2&ssePoll=1`;
    const headers = { 'Last-Event-ID': `${poller.token}.0` };
    const old = fetch(address, { headers }).then(
      (response) => response.text(),
      () => 'cut',
    );
    await held(poller);
    expect((await poller.poll(0)).status).toBe(200);
    expect(await old).toBe('cut');
  });

  it('continues on a stream, without "reconnect"', async () => {
    const { connection, url, token } = await openPoller();
    const reconnects = record(connection, 'reconnect');
    const address = `${addressOf(url, 'a')}&sseProtocol=2`;
    const stream = await openStream(address, { 'Last-Event-ID': `${token}.0` });
    expect(await stream.takeData()).toMatchObject({ resumed: true, ackAfter: { idle: 60_000 } });
    connection.send('a');
    expect(await stream.takeData()).toBe('a');
    expect(reconnects).toEqual([]);
  });

  it('closes when no request arrives for 3.75 heartbeat intervals after a poll', async () => {
    useFakeTimeouts();
    const { connection } = await openPoller({ heartbeatInterval: 10_000, reconnectTimeout: 0 });
    const closes = record(connection, 'close');
    jest.advanceTimersByTime(37_499);
    expect(closes).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(closes).toMatchObject([[1006, 'the client did not reconnect within 37500 ms', {}]]);
  });

  it('is kept open by a POST while the application of the client does not read', async () => {
    useFakeTimeouts();
    const poller = await openPoller({ heartbeatInterval: 10_000, reconnectTimeout: 0 });
    const closes = record(poller.connection, 'close');
    for (let i = 0; i < 4; i++) {
      jest.advanceTimersByTime(30_000);
      await poller.post();
    }
    expect(closes).toEqual([]);
  });

  it('waits for its client for reconnectTimeout after a poll, if that is longer', async () => {
    useFakeTimeouts();
    const { connection } = await openPoller({ heartbeatInterval: 1_000, reconnectTimeout: 5_000 });
    const closes = record(connection, 'close');
    jest.advanceTimersByTime(4_999);
    expect(closes).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(closes.length).toBe(1);
  });

  it('sends the close event with the next poll', async () => {
    const { connection, poll, post: send } = await openPoller();
    connection.send('last');
    connection.close(3000, 'bye');
    const closes = record(connection, 'close');
    expect(eventsOf(await poll(0))).toEqual([
      'data: "last"',
      'event: close\ndata: {"code":3000,"reason":"bye"}',
    ]);
    await send({ ack: 1, close: { code: 3000, reason: 'bye' } });
    expect(closes).toMatchObject([[3000, 'bye', { unacknowledged: [] }]]);
  });

  it('is closed by close() of the middleware only with the next poll', async () => {
    const { sse, connection, poll, post: send } = await openPoller({ drainTimeout: 5_000 });
    connection.send('last');
    const closed = sse.close();
    expect(eventsOf(await poll(0))).toEqual(['data: "last"', expect.stringContaining('1012')]);
    const closes = record(connection, 'close');
    await send({ ack: 1, close: { code: 1012, reason: '' } });
    await closed;
    expect(closes).toMatchObject([[1012, '', { unacknowledged: [] }]]);
  });

  it('ends the poll that is held when the client closes', async () => {
    const poller = await openPoller();
    const reply = poller.poll(0);
    await held(poller);
    await poller.post({ close: { code: 1000, reason: '' } });
    expect(eventsOf(await reply)).toEqual([]);
    expect(poller.sse.connections.size).toBe(0);
  });

  it('counts what waits for the next poll as buffered', async () => {
    const { connection, poll } = await openPoller({ highWaterMark: 10 });
    const drains = record(connection, 'drain');
    expect(connection.send('a message')).toBe(false);
    expect(connection.bufferedAmount).toBeGreaterThan(10);
    await poll(0);
    expect(connection.bufferedAmount).toBe(0);
    expect(drains.length).toBe(1);
  });
});

describe('PollStream', () => {
  function recordingOwner() {
    const closed: unknown[] = [];
    return {
      closed,
      onStreamDrained() {},
      onStreamClosed: (_: unknown, isFinished: boolean) => closed.push(isFinished),
    };
  }

  function fakeResponse(methods: object): ServerResponse {
    const response = Object.assign(new EventEmitter(), { destroyed: false, ...methods });
    return response as unknown as ServerResponse;
  }

  it('accepts nothing after its end, and ends once', () => {
    const sent: unknown[] = [];
    const response = fakeResponse({
      writeHead() {},
      end: (body: Buffer) => sent.push(body.toString()),
    });
    const owner = recordingOwner();
    const stream = new PollStream(response, owner, {});
    expect(stream.write(Buffer.from('a'))).toBe(true);
    stream.end();
    expect(stream.write(Buffer.from('b'))).toBe(false);
    stream.end();
    expect([sent, owner.closed, stream.isWritable]).toEqual([['a'], [true], false]);
  });

  it('is closed as unfinished if other code has answered the poll, and leaves that response alone', async () => {
    const owner = recordingOwner();
    const responses: ServerResponse[] = [];
    const { origin } = await listen(({ url }, response) => {
      responses.push(response);
      if (url === '/first') return;
      const stream = new PollStream(response, owner, {});
      stream.write(Buffer.from('a'));
      response.writeHead(503).end('timeout');
      expect(() => stream.end()).not.toThrow();
      responses[0]!.end();
    });
    const last = 'GET /poll HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
    const text = await exchange(origin, composeRequest('GET', '/first') + last);
    expect(text).toMatch(/HTTP\/1\.1 200 OK[^]*HTTP\/1\.1 503 [^]*timeout/);
    expect(owner.closed).toEqual([false]);
  });

  it('closes the response, and emits a warning, if a method that other middleware has replaced throws', () => {
    const emitWarning = jest.spyOn(process, 'emitWarning').mockImplementation(() => {});
    onTestFinished(() => emitWarning.mockRestore());
    const error = new Error('from the middleware');
    const destroy = jest.fn();
    const response = fakeResponse({
      destroy,
      writeHead() {
        throw error;
      },
    });
    const owner = recordingOwner();
    const stream = new PollStream(response, owner, {});
    stream.write(Buffer.from('a'));
    expect(() => stream.end()).not.toThrow();
    expect([owner.closed, stream.isWritable, stream.writableLength]).toEqual([[false], false, 0]);
    expect(destroy).toHaveBeenCalledTimes(1);
    expect(emitWarning.mock.calls).toEqual([[error]]);
  });
});
