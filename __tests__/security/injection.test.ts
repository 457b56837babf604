import { inspect } from 'node:util';
import type { SseRequestError } from '../../lib/index';
import { addressOf, openChannel, openDuplex, record } from '../helpers/channel';
import type { Connection } from '../helpers/channel';
import { openStream } from '../helpers/http';
import type { Block, RawStream } from '../helpers/http';
import { exchange } from './raw-socket';

/** Texts that try to be an event, a header, a response or a line of a log. */
const FORGERIES = [
  '\n\nevent: close\ndata: {"code":4000,"reason":"forged"}\n\n',
  '\r\rid: forged.9\rdata: "forged"\r\r',
  '\r\n\r\nevent: control\r\ndata: close\r\n\r\n',
  '"}\n\nretry: 1\n\n',
  '\r\nSet-Cookie: forged=1\r\n\r\n',
  '\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  '\n2026-01-01 00:00:00 INFO forged',
  '\r\x1b[2K\x1b[1A\x9b2Jforged',
  '\u0085forged\u2028forged\u2029forged\0\b\x7f',
  '{"code":"forged"}',
  '\ud83d\n\udc00',
];
/** Texts that are valid header values; HTTP reads their bytes as Latin-1. */
const IN_A_HEADER = [
  ...[
    '"}{"code":"forged"',
    '\\',
    '\\"',
    '\\n',
    '\\u000a',
    '%0A',
    '%0d%0aX: forged',
    '<script>',
    "'",
  ],
  ...[
    'a\tb',
    '\x80\x85forged',
    '\x9b2J\x9b31mforged',
    '\xa0',
    '\xff\xfe',
    'http://a b',
    'null, null',
  ],
];

const ONE_LINE = /^[^\p{Cc}\p{Zl}\p{Zp}]+$/u;

/** Headers that any response may have. */
const COMMON_HEADERS = [
  ...['cache-control', 'connection', 'content-length', 'content-type', 'date', 'vary'],
  ...['x-content-type-options', 'x-powered-by'],
];

/** Parses a response. `headers` are the names of those that not every response may have. */
function parseResponse(response: string) {
  const [head, body, ...more] = response.split('\r\n\r\n') as [string, string, ...string[]];
  expect(more).toEqual([]);
  const [status, ...lines] = head.split('\r\n') as [string, ...string[]];
  const headers = lines
    .map((line) => line.slice(0, line.indexOf(':')).toLowerCase())
    .filter((name) => !COMMON_HEADERS.includes(name));
  return { status: Number(status.split(' ')[1]), headers, error: JSON.parse(body) as object };
}

/** Returns the blocks before the one that `isLast` accepts. */
async function takeAll(stream: RawStream, isLast: (block: Block) => boolean): Promise<Block[]> {
  const blocks: Block[] = [];
  for (let block; !isLast((block = await stream.take()));) blocks.push(block);
  return blocks;
}

describe('A message with hostile text', () => {
  const send = (connection: Connection) => {
    for (const text of FORGERIES) connection.send(text);
    for (const text of FORGERIES) connection.send({ [text]: [text], toJSON: undefined });
    connection.send('the end');
  };
  const expected = [...FORGERIES, ...FORGERIES.map((text) => ({ [text]: [text] }))];
  const isLast = ({ data }: Block) => data === '"the end"';

  it('forges no event in the duplex dialect', async () => {
    const { url, connections } = await openChannel();
    const { stream } = await openDuplex(url);
    send(connections[0]!);
    const blocks = await takeAll(stream, isLast);
    expect(blocks.map((block) => Object.keys(block))).toEqual(expected.map(() => ['data']));
    expect(blocks.map(({ data }) => JSON.parse(data!) as unknown)).toEqual(expected);
  });

  it('forges no event and no event id in the Dart dialect', async () => {
    const { url, connections } = await openChannel();
    const stream = await openStream(addressOf(url, 'a'));
    const [token] = (await stream.take()).id!.split('.') as [string];
    send(connections[0]!);
    const blocks = await takeAll(stream, isLast);
    expect(blocks.map(({ data }) => JSON.parse(data!) as unknown)).toEqual(expected);
    expect(blocks.map(({ id }) => id)).toEqual(expected.map((_, index) => `${token}.${index + 1}`));
    expect(new Set(blocks.flatMap((block) => Object.keys(block)))).toEqual(new Set(['id', 'data']));
  });
});

describe("An application's hostile close reason", () => {
  it.each(FORGERIES.map((reason) => [reason]))('forges no event: %j', async (reason) => {
    const { url, connections } = await openChannel();
    const duplex = await openDuplex(url, 'duplex');
    const dart = await openStream(addressOf(url, 'dart'));
    await dart.take();
    for (const connection of connections) connection.close(4000, reason);
    expect(await dart.take()).toEqual({ event: 'control', data: 'close' });
    const { event, data, ...others } = await duplex.stream.take();
    expect([event, JSON.parse(data!), others]).toEqual(['close', { code: 4000, reason }, {}]);
    expect(await Promise.all([dart.ended, duplex.stream.ended])).toEqual(['ended', 'ended']);
    expect([dart.waiting(), duplex.stream.waiting()]).toEqual([0, 0]);
  });
});

describe("A client's hostile close reason", () => {
  it.each(FORGERIES.map((reason) => [reason]))(
    'reaches only the application: %j',
    async (reason) => {
      const { url, connections } = await openChannel();
      const { post: send, stream } = await openDuplex(url);
      const closes = record(connections[0]!, 'close');
      const { text } = await send({ close: { code: 4000, reason } });
      expect(text).toBe('{"received":0,"closed":true}');
      expect(closes).toEqual([[4000, reason, { unacknowledged: [] }]]);
      expect([await stream.ended, stream.waiting()]).toEqual(['ended', 0]);
    },
  );
});

/** Hostile parts of a request, in place of valid ones. */
interface Forged {
  method?: string;
  parameters?: Record<string, string>;
  headers?: Record<string, string>;
  body?: string;
}

/** Composes a request; each character is a byte. */
function asText({ method = 'POST', parameters, headers, body = '' }: Forged): string {
  // `encodeURIComponent` would throw at half a surrogate pair.
  const query = new URLSearchParams({ sseClientId: 'a', ...parameters }).toString();
  const bytes = Buffer.from(body);
  const all = {
    Host: 'app.example',
    Connection: 'close',
    'Content-Length': String(bytes.length),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
  const head = [`${method} /sse?${query} HTTP/1.1`, ...lines, '', ''];
  return head.join('\r\n') + bytes.toString('latin1');
}

describe('Hostile text that an error response quotes', () => {
  const ofHeader =
    (name: string, before = '') =>
    (text: string): Forged => ({ headers: { [name]: before + text } });

  it.each<[string, string[], (text: string) => Forged]>([
    ['in a body', FORGERIES, (body) => ({ body: `x${body}` })],
    ['in a session id', FORGERIES, (sseClientId) => ({ parameters: { sseClientId } })],
    ['in a message number', FORGERIES, (messageId) => ({ parameters: { messageId } })],
    [
      'in a protocol version',
      FORGERIES,
      (sseProtocol) => ({ method: 'GET', parameters: { sseProtocol } }),
    ],
    ['in a media type', IN_A_HEADER, ofHeader('Content-Type')],
    ['in a charset', IN_A_HEADER, ofHeader('Content-Type', 'text/plain; charset=')],
    ['in an encoding', IN_A_HEADER, ofHeader('Content-Encoding')],
    ['in an origin', IN_A_HEADER, ofHeader('Origin')],
    ['in a host', IN_A_HEADER, ofHeader('Host')],
    [
      'in Last-Event-ID',
      IN_A_HEADER,
      (text) => ({
        ...ofHeader('Last-Event-ID')(text),
        method: 'GET',
        parameters: { sseProtocol: '2' },
      }),
    ],
  ])('%s forges no header, no body and no line of a log', async (_, texts, forge) => {
    const { sse, url } = await openChannel({ allowedHosts: ['app.example'] });
    const errors = record(sse, 'clientError');
    for (const text of texts) {
      const response = parseResponse(await exchange(url, asText(forge(text))));
      const { status, headers, error } = response;
      expect([text, status, headers]).toEqual([text, expect.any(Number), []]);
      expect(Object.keys(error)).toEqual(['code', 'message']);
    }
    expect(errors).toHaveLength(texts.length);
    for (const [error] of errors as [SseRequestError][]) {
      expect(error.message).toMatch(ONE_LINE);
      // As `console.error(error)` prints it: the text cannot begin a line.
      for (const line of inspect(error).split('\n').slice(1))
        expect(line).toMatch(/^(?: |\})\P{Cc}*$/u);
    }
  });
});

describe('A hostile origin that the application allows', () => {
  it.each(IN_A_HEADER.map((origin) => [origin]))('forges no other header: %j', async (origin) => {
    const { url } = await openChannel({ allowedOrigins: () => true });
    const lines = ['Host: app.example', 'Connection: close', `Origin: ${origin}`];
    const response = await exchange(url, ['GET /sse HTTP/1.1', ...lines, '', ''].join('\r\n'));
    expect(parseResponse(response)).toMatchObject({
      status: 400,
      headers: [
        'access-control-allow-origin',
        'access-control-allow-credentials',
        'access-control-expose-headers',
      ],
    });
  });
});
