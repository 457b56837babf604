import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Request } from 'express';
import type { SseOptions } from '../../lib/index';
import { addressOf, openChannel, openDuplex, record } from '../helpers/channel';
import { next, openClient } from '../helpers/client';
import { onTestFinished } from '../helpers/on-test-finished';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { sendRequest, openStream, post } from '../helpers/http';
import { waitFor } from '../helpers/wait-for';

type Dialect = 'dart' | 'duplex';
const DIALECTS: Dialect[] = ['dart', 'duplex'];

/** Opens a session whose functions are the same in both dialects. */
async function openIn(dialect: Dialect, options: SseOptions<Request> = {}) {
  const channel = await openChannel(options);
  const { url, connections } = channel;
  const duplex = dialect === 'duplex' ? await openDuplex(url) : undefined;
  const stream = duplex?.stream ?? (await openStream(addressOf(url, 'a')));
  const lastEventId = duplex ? `${duplex.token}.0` : (await stream.take()).id!;
  const address = (number: number) => addressOf(url, 'a', duplex ? undefined : number);
  const body = (number: number, message: unknown, size = 0) => {
    const envelope = { token: duplex?.token, id: number, ack: 0, messages: [message] };
    return JSON.stringify(duplex ? envelope : message).padEnd(size);
  };
  return {
    ...channel,
    connection: connections[0]!,
    stream,
    address,
    body,
    /** Sends one message in a body of at least `size` bytes. */
    send: (number: number, message: unknown, size?: number) =>
      post(address(number), body(number, message, size)),
    disconnect: async () => {
      stream.cut();
      await waitFor(() => !connections[0]!.connected);
    },
    resume: () =>
      openStream(`${addressOf(url, 'a')}${duplex ? '&sseProtocol=2' : ''}`, {
        'Last-Event-ID': lastEventId,
      }),
  };
}

/** Returns a message whose event on the stream has `size` bytes. */
const ofEventSize = (size: number) => 'x'.repeat(size - 'data: ""\n\n'.length);

describe('A session id', () => {
  const requests: [string, (url: string, id: string) => Promise<{ status: number }>, number][] = [
    ['a Dart-dialect GET', (url, id) => openStream(addressOf(url, id)), 200],
    ['a duplex GET', (url, id) => openStream(`${addressOf(url, id)}&sseProtocol=2`), 200],
    ['a POST', (url, id) => post(addressOf(url, id), '1'), 404],
  ];
  describe.each(requests)('in %s', (_, send, status) => {
    it.each([
      ['1', 'x', status],
      ['255', 'x'.repeat(255), status],
      ['256', 'x'.repeat(256), status],
      ['257', 'x'.repeat(257), 400],
      ['256, in surrogate pairs,', '😀'.repeat(128), status],
      ['258, in surrogate pairs,', '😀'.repeat(129), 400],
      ['no', '', 400],
    ])('of %s UTF-16 code units gets the expected status', async (_length, id, expected) => {
      const { url } = await openChannel();
      expect((await send(url, id)).status).toBe(expected);
    });
  });
});

describe.each(DIALECTS)('maxPayload in the %s dialect', (dialect) => {
  it.each([
    [999, 200],
    [1_000, 200],
    [1_001, 413],
  ])('of 1,000: a POST with %i bytes beside its envelope gets %i', async (size, status) => {
    const { body, send, connection } = await openIn(dialect, { maxPayload: 1_000 });
    const messages = record(connection, 'message');
    const envelopeSize = body(0, 'x').length - '"x"'.length;
    expect((await send(0, 'x', envelopeSize + size)).status).toBe(status);
    expect(messages).toHaveLength(status === 200 ? 1 : 0);
  });
});

it('maxPayload allows a batch of that size in the largest possible envelope', async () => {
  const { url, connections } = await openChannel({ maxPayload: 1_000 });
  const client = await openDuplex(url);
  const messages = record(connections[0]!, 'message');
  const closes = record(connections[0]!, 'close');
  const largest = Number.MAX_SAFE_INTEGER;
  const envelope = { id: largest, messages: ['x'.repeat(998)] };
  const close = { code: 4_999, reason: '\u0001'.repeat(123) };
  expect((await client.post({ ...envelope, ack: largest, close })).status).toBe(400); // acknowledges unsent messages
  expect((await client.post({ ...envelope, id: 0, close })).status).toBe(200);
  expect(messages).toEqual([envelope.messages]);
  expect(closes).toEqual([[close.code, close.reason, { unacknowledged: [] }]]);
});

describe('maxPayload of 256 KiB, the default', () => {
  it.each([
    [196_596, 200],
    [196_597, 413],
    [196_599, 413],
  ])('a POST with a binary message of %i bytes gets %i', async (size, status) => {
    const { url } = await openChannel();
    const { post: send } = await openDuplex(url);
    const messages = [Buffer.alloc(size).toString('base64')];
    expect((await send({ messages, binary: [0] })).status).toBe(status);
  });

  it('an SseClient sends a binary message of 196,596 bytes, and throws for a larger one', async () => {
    const { url, sse, connections } = await openChannel();
    const errors = record(sse, 'clientError');
    const client = openClient(url);
    await next(client, 'open');
    const messages = record(connections[0]!, 'message') as Buffer[][];
    client.send(new Uint8Array(196_596));
    for (const size of [196_597, 196_599]) {
      expect(() => client.send(new Uint8Array(size))).toThrow(
        "cannot send: 262147 bytes exceed the server's maxPayload, 262144",
      );
    }
    client.send('last');
    await waitFor(() => messages.length === 2);
    expect(messages[0]![0]).toHaveLength(196_596);
    expect(messages[1]).toEqual(['last']);
    expect(errors).toEqual([]);
  });
});

describe('maxPayload of 1,000', () => {
  /** Messages that give those after them indices of three digits. */
  const zeros = new Array<unknown>(120).fill(0);
  const bytes = (count: number) => Array.from({ length: count }, () => new Uint8Array(3));

  it.each<[string, unknown[]]>([
    ['one binary message', [...bytes(1)]],
    ['one binary message with an index of three digits', [...zeros, ...bytes(1)]],
    ['several binary messages, first and last', [...bytes(9), ...zeros, ...bytes(9)]],
    ['several binary messages with indices of three digits', [...zeros, ...bytes(20), 0]],
  ])('is what an SseClient sends in one POST with %s, and no byte more', async (_, messages) => {
    const { url, sse, connections } = await openChannel({ maxPayload: 1_000 });
    const errors = record(sse, 'clientError');
    /** The numbers of messages in the POSTs. */
    const counts: number[] = [];
    const client = openClient(url, {
      fetch: (target, init) => {
        const { body } = init;
        if (body) counts.push((JSON.parse(body as string) as { messages: [] }).messages.length);
        return fetch(target, init);
      },
    });
    await next(client, 'open');
    const received = record(connections[0]!, 'message');
    const indices = messages.flatMap((message, i) => (message instanceof Uint8Array ? i + 1 : []));
    const json = JSON.stringify(['', ...messages.map((each) => (each === 0 ? 0 : 'AAAA'))]);
    const size = json.length - '[]'.length + `,"binary":${JSON.stringify(indices)}`.length;
    const sendAll = async (excess: number) => {
      const expected = received.length + messages.length + 1;
      client.send('x'.repeat(1_000 - size + excess));
      for (const message of messages) client.send(message);
      await waitFor(() => received.length === expected && client.bufferedAmount === 0);
      return counts.splice(0);
    };
    expect(await sendAll(0)).toEqual([messages.length + 1]);
    expect(await sendAll(1)).toEqual([messages.length, 1]);
    expect(errors).toEqual([]);
  });
});

it.each([
  [122, 200],
  [123, 200],
  [124, 400],
])('A POST with a close reason of %i bytes gets %i', async (length, status) => {
  const { url, connections } = await openChannel();
  const client = await openDuplex(url);
  const closes = record(connections[0]!, 'close');
  const reason = 'x'.repeat(length);
  expect((await client.post({ close: { code: 4_000, reason } })).status).toBe(status);
  expect(closes).toMatchObject(status === 200 ? [[4_000, reason, {}]] : []);
});

describe.each(DIALECTS)('reorderWindow in the %s dialect', (dialect) => {
  it.each([
    [65_535, 200],
    [65_536, 200],
    [65_537, 409],
  ])('of 65,536: message %i before message 0 gets %i', async (number, status) => {
    const { send } = await openIn(dialect);
    expect((await send(number, 'x')).status).toBe(status);
  });

  it.each([
    [0, 200],
    [1, 409],
  ])('of 0: message %i gets %i', async (number, status) => {
    const { send } = await openIn(dialect, { reorderWindow: 0 });
    expect((await send(number, 'x')).status).toBe(status);
  });

  it.each([
    [499, 200],
    [500, 200],
    [501, 409],
  ])(
    'with maxBufferedAmount of 1,000 and 500 bytes waiting: %i more bytes get %i',
    async (size, status) => {
      const { send, connection } = await openIn(dialect, { maxBufferedAmount: 1_000 });
      const messages = record(connection, 'message');
      expect((await send(2, 'c', 500)).status).toBe(200);
      expect((await send(1, 'b', size)).status).toBe(status);
      await send(0, 'a', 1_000); // is delivered at once
      expect(messages.flat()).toEqual(status === 200 ? ['a', 'b', 'c'] : ['a']);
    },
  );
});

describe.each(DIALECTS)('maxBufferedAmount in the %s dialect', (dialect) => {
  it.each([
    [49, 1],
    [50, 1],
    [51, 3],
  ])(
    'of 100: after 50 and %i bytes without a stream, readyState is %i',
    async (size, readyState) => {
      const { connection, disconnect } = await openIn(dialect, { maxBufferedAmount: 100 });
      const closes = record(connection, 'close');
      await disconnect();
      connection.send(ofEventSize(50));
      connection.send(ofEventSize(size));
      expect(connection.readyState).toBe(readyState);
      expect(closes).toHaveLength(readyState === 3 ? 1 : 0);
    },
  );

  it.each([
    [49, true],
    [50, true],
    [51, false],
  ])('of 100: the first `send`, of %i bytes, returns %p', async (size, isReady) => {
    const { connection } = await openIn(dialect, { maxBufferedAmount: 100 });
    expect(connection.send(ofEventSize(size))).toBe(isReady);
  });
});

it.each([
  [49, 1],
  [50, 1],
  [51, 3],
])(
  'maxBufferedAmount of 100: after 50 and %i bytes from a Dart-dialect client that the application did not read, readyState is %i',
  async (size, readyState) => {
    const { send, connection } = await openIn('dart', { maxBufferedAmount: 100 });
    connection.pause();
    await send(0, 'a', 50);
    await send(1, 'b', size);
    expect(connection.readyState).toBe(readyState);
  },
);

describe('maxReplayBytes', () => {
  it.each([
    [300, true],
    [301, true],
    [299, false],
    [0, false],
  ])(
    'of %i bytes: a client that lost 300 bytes resumes its session: %p',
    async (maxReplayBytes, isResumed) => {
      const { connection, connections, stream, disconnect, resume } = await openIn('dart', {
        maxReplayBytes,
      });
      const sent = ['a', 'b', 'c'].map((letter) => letter + ofEventSize(100).slice(1));
      for (const message of sent) connection.send(message);
      await waitFor(() => stream.waiting() === 3);
      await disconnect();
      const again = await resume();
      await again.take();
      if (isResumed) {
        for (const message of sent) expect(await again.takeData()).toBe(message);
        expect(connections).toHaveLength(1);
      } else {
        expect(connections).toHaveLength(2);
        expect(connection.readyState).toBe(3);
      }
    },
  );
});

describe.each(DIALECTS)('maxConnections in the %s dialect', (dialect) => {
  const addressIn = (url: string, id: string) =>
    `${addressOf(url, id)}${dialect === 'duplex' ? '&sseProtocol=2' : ''}`;

  it('of 3: only three of eight simultaneous clients get a session', async () => {
    const admissions: (() => void)[] = [];
    const { url, sse } = await openChannel({
      maxConnections: 3,
      authorize: () => new Promise<boolean>((resolve) => admissions.push(() => resolve(true))),
    });
    const streams = Array.from({ length: 8 }, (_, i) => openStream(addressIn(url, `${i}`)));
    await waitFor(() => admissions.length === 8);
    for (const admit of admissions) admit();
    const opened = await Promise.all(streams);
    expect(sse.stats()).toMatchObject({ connections: 3, connected: 3, opened: 3 });
    const rejected = opened.filter(({ headers }) => headers['retry-after'] === '5');
    if (dialect === 'duplex')
      expect(rejected.map(({ status }) => status)).toEqual(Array(5).fill(503));
    else await waitFor(() => opened.filter((s) => s.text() === 'retry: 5000\n\n').length === 5);
  });

  it('of 1: the client of the session can resume it', async () => {
    const { disconnect, resume, connections } = await openIn(dialect, { maxConnections: 1 });
    await disconnect();
    expect((await resume()).status).toBe(200);
    expect(connections[0]!.connected).toBe(true);
  });
});

it('maxConnections of 1: a Dart-dialect client that cannot resume replaces its old session', async () => {
  const { url, disconnect, connections } = await openIn('dart', { maxConnections: 1 });
  await disconnect();
  await openStream(addressOf(url, 'a'));
  expect(connections.map(({ readyState }) => readyState)).toEqual([3, 1]);
  expect((await sendRequest(addressOf(url, 'b'))).text).toBe('retry: 5000\n\n');
});

describe.each(DIALECTS)('bodyTimeout in the %s dialect', (dialect) => {
  it.each([
    [6_999, 200],
    [7_000, 408],
  ])('of 7,000: a body that is complete after %i ms gets %i', async (time, status) => {
    const { address, body, send, connection } = await openIn(dialect, { bodyTimeout: 7_000 });
    const messages = record(connection, 'message');
    useFakeTimeouts();
    const timers = jest.spyOn(global, 'setTimeout');
    const sent = request(address(0), { method: 'POST', agent: false });
    onTestFinished(() => sent.destroy());
    const responded = new Promise<IncomingMessage>((resolve, reject) => {
      sent.on('response', resolve).on('error', reject);
    });
    const text = body(0, 'late');
    sent.write(text.slice(0, 3));
    await waitFor(() => timers.mock.calls.some(([, timeout]) => timeout === 7_000));
    jest.advanceTimersByTime(time);
    sent.end(text.slice(3));
    expect((await responded).statusCode).toBe(status);
    if (status === 408) expect(messages).toEqual([]);
    // Only a duplex client sends the message again.
    if (dialect === 'duplex') await send(0, 'late');
    await send(1, 'next');
    const isLost = dialect === 'dart' && status === 408;
    expect(messages.flat()).toEqual(isLost ? ['next'] : ['late', 'next']);
  });
});

describe.each(DIALECTS)('highWaterMark in the %s dialect', (dialect) => {
  it.each([
    [49, true],
    [50, false],
    [51, false],
  ])('of 100: `send` of %i bytes after 50 returns %p', async (size, isReady) => {
    const { connection } = await openIn(dialect, { highWaterMark: 100 });
    expect(connection.send(ofEventSize(50))).toBe(true);
    expect(connection.send(ofEventSize(size))).toBe(isReady);
  });
});

it.each([
  [499, 'gets a response'],
  [500, 'is blocked'],
])('highWaterMark of 500: after %i unread bytes, a POST %s', async (size, outcome) => {
  const { send, connection, url } = await openIn('duplex', { highWaterMark: 500 });
  connection.pause();
  const messages = record(connection, 'message');
  expect((await send(0, 'a', size)).status).toBe(200);
  let hasResponse = false;
  const next = send(1, 'b').finally(() => (hasResponse = true));
  if (outcome === 'gets a response') {
    expect((await next).status).toBe(200);
    expect(messages).toEqual([]);
  } else {
    await sendRequest(url); // waits for another exchange
    await turn();
    expect(hasResponse).toBe(false);
  }
  connection.resume();
  expect((await next).json).toEqual({ received: 2 });
  expect(messages.flat()).toEqual(['a', 'b']);
});
