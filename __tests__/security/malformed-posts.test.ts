import { Agent } from 'node:http';
import type { OutgoingHttpHeaders } from 'node:http';
import { addressOf, openChannel, openDuplex, record } from '../helpers/channel';
import type { Channel } from '../helpers/channel';
import { onTestFinished } from '../helpers/on-test-finished';
import { sendRequest, openStream, post } from '../helpers/http';
import { catchUncaught } from '../helpers/uncaught';
import { waitFor } from '../helpers/wait-for';
import { exchange } from './raw-socket';

const MAX_PAYLOAD = 10_000;

/** The parts of one POST of a session. */
interface Parts {
  /** Follows the session id in the URL. */
  query: string;
  headers: OutgoingHttpHeaders;
  body: string | Buffer;
}

/** Invalid parts that replace valid ones. */
type Defect = Partial<Parts>;

/** A client that composes its requests itself. */
interface Peer {
  readonly address: string;
  /** Returns its next POST, which carries one message. */
  next(message: unknown): Parts & { body: string };
  /** Counts the last POST as received. */
  advance(): void;
}

type Dialect = 'dart' | 'duplex';

async function openPeer({ url }: Channel, dialect: Dialect): Promise<Peer> {
  let number = 0;
  const headers = { 'Content-Type': 'text/plain;charset=UTF-8' };
  const advance = () => {
    number++;
  };
  if (dialect === 'dart') {
    const address = addressOf(url, 'dart');
    await openStream(address);
    const next = (message: unknown) => ({
      query: `&messageId=${number}`,
      headers,
      body: JSON.stringify(message),
    });
    return { address, next, advance };
  }
  const { token } = await openDuplex(url, 'duplex');
  const next = (message: unknown) => ({
    query: '',
    headers,
    body: JSON.stringify({ token, id: number, ack: 0, messages: [message] }),
  });
  return { address: addressOf(url, 'duplex'), next, advance };
}

/** Opens a session and records the application's events. */
async function openOne(dialect: Dialect) {
  const uncaught = catchUncaught();
  const channel = await openChannel({ maxPayload: MAX_PAYLOAD });
  const peer = await openPeer(channel, dialect);
  const delivered = record(channel.connections[0]!, 'message');
  const errors = record(channel.sse, 'clientError');
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => agent.destroy());
  const send = async ({ query, headers, body }: Parts) =>
    sendRequest(peer.address + query, { method: 'POST', headers, body, agent });

  return {
    ...channel,
    peer,
    delivered,
    errors,
    send,
    /** Sends the next POST with invalid parts. */
    async sendMalformed(defect: Defect) {
      const parts = { ...peer.next('forged'), ...defect };
      const reply = await send(parts);
      // [PROTOCOL.md] A rejected message consumes its number, if the number is valid.
      if (dialect === 'dart' && defect.query === undefined) peer.advance();
      return reply;
    },
    async sendNext(message: unknown): Promise<number> {
      const { status } = await send(peer.next(message));
      peer.advance();
      return status;
    },
    /** Expects that exactly the valid messages arrived, once and in order. */
    expectIntact(count: number) {
      expect(delivered.flat()).toEqual(Array.from({ length: count }, (_, index) => index));
      expect(channel.connections).toHaveLength(1);
      expect(channel.connections[0]).toMatchObject({ readyState: 1, connected: true });
      expect(uncaught).toEqual([]);
    },
  };
}

const inQuery = (query: string): Defect => ({ query });
const inBody = (body: string | Buffer): Defect => ({ body });
const inHeader = (name: string) => (value: string) => ({ headers: { [name]: value } });

// Digits that are not ASCII, and numbers that are not 1 to 15 decimal digits.
const NUMBERS = [
  ...['', ' ', '-1', '-0', '+1', '%2B1', '1.0', '1.', '.1', '1e3', '1E3', '0x1', '0b1', '0o1'],
  ...['1_000', '1,000', '1n', '0%0A', '0%00', '0%20', '%200', '0;1', 'NaN', 'Infinity', 'null'],
  ...['true', 'undefined', '[]', '[0]', '{}', '"0"', "'0'", 'x', '__proto__', '9007199254740992'],
  ...['9007199254740993', '1000000000000000', '9'.repeat(1000), '٠', '१', '０', '߁', '𝟎', '²', '①'],
  ...['%FF', '%', '%30%FF', '0\u0301', '0\u200B'],
].map((text) => `&messageId=${/[^\x20-\x7e]/.test(text) ? encodeURIComponent(text) : text}`);
const TWICE = ['&messageId=0&messageId=0', '&messageId=0&messageId=1', '&messageId=&messageId=0'];
const NAMES = ['&sseClientId=b', '&sseClientId=', '&sseClientId=dart&sseClientId=duplex'];

const NOT_JSON = [
  ...['', ' ', '\n', '\0', '{', '}', '[', ']', '"', '"a', 'a"', "'a'", '`a`', '{a:1}', "{'a':1}"],
  ...['{"a":1', '{"a":}', '{"a"}', '{"a":1,}', '{,}', '[1', '[1,', '[1,]', '[,1]', '[1 2]', '1 2'],
  ...['01', '+1', '-', '.5', '5.', '1e', '1e+', '0x10', '1_0', '1n', 'NaN', '-NaN', 'Infinity'],
  ...['-Infinity', 'undefined', 'nul', 'nulll', 'True', 'TRUE', 'None', 'truefalse', '1;', '// 1'],
  ...[
    '1 // one',
    '/* */ 1',
    '"\t"',
    '"\n"',
    '"\r"',
    '"\0"',
    '"\x1b"',
    '"\\"',
    '"\\x41"',
    '"\\u12"',
  ],
  ...['"\\u{41}"', '"\\', '"a" "b"', '"a","b"', '{}{}', '[][]', '\u00a01', '1\u2028', '=1', 'a=b'],
  ...['<a/>', '--x\r\n\r\n1\r\n--x--', 'data: 1', '%7B%7D', '\x1f\x8b\x08', '[object Object]'],
  ...['['.repeat(5000), '{"a":'.repeat(1000), '"'.repeat(4001), `${'[1,'.repeat(1000)}]`],
];

const quoted = (...bytes: number[]) => Buffer.of(0x22, ...bytes, 0x22);
const NOT_UTF_8 = [
  ...[0x80, 0xbf, 0xc0, 0xc1, 0xc3, 0xe2, 0xf0, 0xf5, 0xf8, 0xfc, 0xfe, 0xff].map((byte) =>
    quoted(byte),
  ),
  quoted(0xc0, 0x80), // NUL, overlong
  quoted(0xc0, 0xaf), // a slash, overlong
  quoted(0xc1, 0xbf),
  quoted(0xe0, 0x80, 0xaf), // a slash in three bytes
  quoted(0xe2, 0x82), // cut
  quoted(0xed, 0xa0, 0x80), // half a surrogate pair
  quoted(0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80), // both halves (CESU-8)
  quoted(0xf0, 0x80, 0x80, 0xaf),
  quoted(0xf0, 0x9f, 0x98),
  quoted(0xf4, 0x90, 0x80, 0x80), // past U+10FFFF
  quoted(0xc3, 0x28),
  Buffer.from('\ufeff"a"', 'utf16le'),
  Buffer.from('"ü"', 'latin1'),
];

const MEDIA_TYPES = [
  ...[
    'text/html',
    'text/html;charset=utf-8',
    'text/plainer',
    'text/plain+json',
    'text/json',
    'text',
  ],
  ...[
    'text/*',
    '*/*',
    'xtext/plain',
    'text /plain',
    'text/plain x',
    'text/plain,text/html',
    '/',
    '?',
  ],
  ...['', ' ', 'application/x-www-form-urlencoded', 'multipart/form-data;boundary=x', 'image/png'],
  ...['application/xml', 'application/octet-stream', 'application/jsonp', 'application/json5'],
  ...[
    'application/json-seq',
    'application/+json',
    'application/a/b+json',
    'application/javascript',
  ],
  ...[
    'text/event-stream',
    'json',
    '"text/plain"',
    '; charset=utf-8',
    'text\\plain',
    'message/http',
  ],
];
const CHARSETS = [
  ...['latin1', 'iso-8859-1', 'us-ascii', 'utf-16', 'utf-16le', 'utf-7', 'utf-32', 'windows-1252'],
  ...['"utf-16"', "'utf-8'", 'utf-8-sig', 'xutf-8', 'UTF_8', 'none', 'gb18030', '__proto__'],
].map((charset) => `text/plain; charset=${charset}`);
const ENCODINGS = [
  ...['gzip', 'GZIP', 'x-gzip', 'deflate', 'br', 'zstd', 'compress', 'identity, gzip', 'identityx'],
  ...['gzip, gzip, gzip', 'utf-8', 'x', '*', '', 'identity;q=0'],
];

const TOO_LARGE = [MAX_PAYLOAD + 1025, 2 * MAX_PAYLOAD, 500_000].map((size) =>
  JSON.stringify('x'.repeat(size - 2)),
);

/** Invalid values of an envelope's fields; `undefined` removes the field. */
const NO_STRING: unknown[] = [undefined, null, 0, 1, true, false, [], {}, ['a'], { length: 21 }];
const NO_COUNT: unknown[] = [
  ...[undefined, null, true, false, '', '0', '1', 'x', [], [0], {}, { valueOf: 0 }],
  ...[-1, 0.5, -0.5, 1e-9, 2 ** 53, 1e21, 1e300, -(2 ** 53)],
];
const NO_LIST: unknown[] = [
  ...[undefined, null, true, 0, 1, '', 'x', '[]', {}, { 0: 'x' }, { 0: 'x', length: 1 }],
  { messages: [] },
];
const NO_CLOSE: unknown[] = [
  ...[null, true, false, 0, 1000, '', 'x', [], [1000, ''], {}, { code: 1000 }, { reason: '' }],
  ...[0, 1, 999, 1004, 1006, 1015, 1016, 2999, 5000, -1000, 1000.5, 65536, 2 ** 53].map((code) => ({
    code,
    reason: '',
  })),
  ...['1000', null, true, [1000], {}].map((code) => ({ code, reason: '' })),
  ...[null, 0, true, ['x'], { length: 1 }].map((reason) => ({ code: 1000, reason })),
];
const NO_ENVELOPE = [
  ...['null', 'true', 'false', '0', '-1', '1e400', '""', '"{}"', '[]', '[[]]', '{}', '[{}]'],
  '{"__proto__":{"token":"x","id":0,"ack":0,"messages":[]}}',
  '{"constructor":{"prototype":{"token":"x","id":0,"ack":0,"messages":[]}}}',
  '{"TOKEN":"x","Id":0,"Ack":0,"Messages":[]}',
  '{"token":"x","id":1e400,"ack":0,"messages":[]}',
  '{"token":"x","id":0,"ack":-1e400,"messages":[]}',
];

/** Defects that both dialects reject alike, and the status of the response. */
const OF_BOTH: [string, number, Defect[]][] = [
  ['invalid parameters', 400, [...NUMBERS, ...TWICE, ...NAMES].map(inQuery)],
  ['bodies that are not JSON', 400, NOT_JSON.map(inBody)],
  ['bodies that are not UTF-8', 400, NOT_UTF_8.map(inBody)],
  ['unsupported media types', 415, MEDIA_TYPES.map(inHeader('Content-Type'))],
  ['unsupported charsets', 415, CHARSETS.map(inHeader('Content-Type'))],
  ['unsupported encodings', 415, ENCODINGS.map(inHeader('Content-Encoding'))],
  ['bodies that are too large', 413, TOO_LARGE.map(inBody)],
];

describe.each<Dialect>(['dart', 'duplex'])('A session of the %s dialect', (dialect) => {
  it.each(OF_BOTH)('rejects %s with %i and stays open', async (_, status, defects) => {
    const { sendMalformed, sendNext, expectIntact, errors } = await openOne(dialect);
    for (const [index, defect] of defects.entries()) {
      const { status: given, text, headers } = await sendMalformed(defect);
      expect({ defect, given, type: headers['content-type'] }).toEqual({
        defect,
        given: status,
        type: 'application/json',
      });
      expect(JSON.parse(text)).toMatchObject({
        code: expect.stringMatching(/^[a-z-]+$/) as string,
        message: expect.stringMatching(/./) as string,
      });
      expect(await sendNext(index)).toBe(200);
    }
    expectIntact(defects.length);
    expect(errors).toHaveLength(defects.length);
  });
});

describe.each([
  ['dart', 501],
  ['duplex', 499],
] as const)('A session of the %s dialect', (dialect, levels) => {
  it(`rejects a message nested ${levels} levels deep or more with 400 and stays open`, async () => {
    const { peer, sendMalformed, sendNext, expectIntact } = await openOne(dialect);
    const deep = [arrays(levels), arrays(4_900), objects(levels), `[0,${objects(levels - 1)},0]`];
    for (const [index, message] of deep.entries()) {
      const body = peer.next('deep').body.replace('"deep"', message);
      const { status, text } = await sendMalformed({ body });
      expect([status, JSON.parse(text)]).toMatchObject([
        400,
        { code: 'bad-request', message: expect.stringContaining('more than 500 levels') as string },
      ]);
      expect(await sendNext(index)).toBe(200);
    }
    expectIntact(deep.length);
  });
});

describe('A duplex session', () => {
  const replaced =
    (field: string) =>
    (value: unknown): object => ({ [field]: value });
  it.each<[string, object[]]>([
    ['token', NO_STRING.map(replaced('token'))],
    ['id', NO_COUNT.map(replaced('id'))],
    ['ack', [...NO_COUNT, 1, 1000, 2 ** 53 - 1].map(replaced('ack'))],
    ['messages', NO_LIST.map(replaced('messages'))],
    ['close', NO_CLOSE.map(replaced('close'))],
  ])('rejects envelopes whose "%s" is invalid', async (_, replacements) => {
    const { peer, sendMalformed, sendNext, expectIntact } = await openOne('duplex');
    for (const [index, replacement] of replacements.entries()) {
      const envelope = JSON.parse(peer.next('forged').body) as object;
      const body = JSON.stringify({ ...envelope, ...replacement });
      const { status, text } = await sendMalformed({ body });
      expect({ body, status, error: JSON.parse(text) as unknown }).toEqual({
        body,
        status: 400,
        error: { code: 'bad-request', message: expect.any(String) as string },
      });
      expect(await sendNext(index)).toBe(200);
    }
    expectIntact(replacements.length);
  });

  it('rejects JSON bodies that are not an envelope', async () => {
    const { sendMalformed, sendNext, expectIntact } = await openOne('duplex');
    for (const [index, body] of NO_ENVELOPE.entries()) {
      const { status, text } = await sendMalformed({ body });
      expect([body, status, JSON.parse(text)]).toMatchObject([body, 400, { code: 'bad-request' }]);
      expect(await sendNext(index)).toBe(200);
    }
    expectIntact(NO_ENVELOPE.length);
  });
});

/** Returns the head of a POST with any header lines. */
const head = (target: string, ...lines: string[]) =>
  [`POST ${target} HTTP/1.1`, 'Host: localhost', 'Content-Type: text/plain', ...lines, '', ''].join(
    '\r\n',
  );

/** A POST that is invalid HTTP. */
interface Broken {
  what: string;
  /** Header lines in place of a valid `Content-Length`. */
  lines?: string[];
  /** Replaces the body. */
  make?: (body: string) => string;
  /** The client ends the connection after the body. */
  isCut?: boolean;
  /** The body is complete and is rejected, so the message number is consumed. */
  isWhole?: boolean;
}

const CHUNKED = ['Transfer-Encoding: chunked'];
const chunk = (body: string) => `${body.length.toString(16)}\r\n${body}\r\n`;
const BROKEN: Broken[] = [
  { what: 'cut at its first byte', make: () => '', isCut: true },
  { what: 'cut in the middle', lines: ['Content-Length: 500'], isCut: true },
  { what: 'cut a byte before its end', make: (body) => body.slice(0, -1), isCut: true },
  { what: 'cut in a chunk', lines: CHUNKED, make: (body) => `500\r\n${body}`, isCut: true },
  { what: 'cut before the last chunk', lines: CHUNKED, make: chunk, isCut: true },
  {
    what: 'without a valid chunk size',
    lines: CHUNKED,
    make: (body) => `zz\r\n${body}\r\n0\r\n\r\n`,
  },
  { what: 'with a negative chunk size', lines: CHUNKED, make: (body) => `-5\r\n${body}` },
  {
    what: 'with a huge chunk size',
    lines: CHUNKED,
    make: (body) => `${'f'.repeat(17)}\r\n${body}`,
  },
  { what: 'with a chunk longer than its size', lines: CHUNKED, make: (body) => `1\r\n${body}\r\n` },
  {
    what: 'with Content-Length and Transfer-Encoding',
    lines: ['Content-Length: 5', ...CHUNKED],
    make: chunk,
  },
  { what: 'with two Content-Length headers', lines: ['Content-Length: 5', 'Content-Length: 6'] },
  { what: 'with a negative length', lines: ['Content-Length: -5'] },
  { what: 'with a signed length', lines: ['Content-Length: +5'] },
  { what: 'with a hexadecimal length', lines: ['Content-Length: 0x5'] },
  { what: 'with a length with an exponent', lines: ['Content-Length: 1e1'] },
  { what: 'with a length over 64 bits', lines: ['Content-Length: 18446744073709551616'] },
  { what: 'with an empty length', lines: ['Content-Length: '] },
  { what: 'with a body longer than its length', lines: ['Content-Length: 1'], isWhole: true },
  { what: 'with a compressed transfer encoding', lines: ['Transfer-Encoding: gzip'] },
  { what: 'with a folded header', lines: ['X-A: b', ' c: d'] },
  { what: 'with a header without a colon', lines: ['Content-Length 5'] },
  { what: 'with a header that contains NUL', lines: ['X-A: a\0b'] },
  { what: 'with headers that are too large', lines: [`X-A: ${'a'.repeat(20_000)}`] },
];

// Node responds instead of the channel and ends the connection.
describe.each<Dialect>(['dart', 'duplex'])('A session of the %s dialect', (dialect) => {
  it.each(BROKEN)('is not affected by a POST $what', async ({ lines, make, isCut, isWhole }) => {
    const { peer, url, sendNext, expectIntact } = await openOne(dialect);
    const { query, body } = peer.next('forged');
    const { pathname, search } = new URL(peer.address + query);
    const own = lines ?? [`Content-Length: ${body.length}`];
    const bytes = head(pathname + search, ...own) + (make?.(body) ?? body);
    const response = await exchange(url, bytes, { isCut });
    expect(response).toMatch(/^HTTP\/1.1 4\d\d /);
    if (dialect === 'dart' && isWhole) peer.advance();
    expect(await sendNext(0)).toBe(200);
    expectIntact(1);
  });
});

describe('A Dart-dialect session', () => {
  it('does not consume the number of a POST whose connection ended before `authorize` settled', async () => {
    let admit = () => {};
    const { sse, url, connections } = await openChannel({
      authorize: ({ method }) =>
        method === 'GET' || new Promise<true>((resolve) => (admit = () => resolve(true))),
    });
    await openStream(addressOf(url, 'a'));
    const messages = record(connections[0]!, 'message');
    const errors = record(sse, 'clientError');
    const lost = head('/sse?sseClientId=a&messageId=0', 'Content-Length: 3') + '"a"';
    await exchange(url, lost, { isCut: true });
    admit();
    await waitFor(() => errors.length > 0);
    expect(errors[0]![0]).toMatchObject({
      message: 'the connection closed before the end of the request body',
    });

    admit = () => {};
    const again = post(addressOf(url, 'a', 0), '"a"'); // as a browser repeats it
    await waitFor(() => (admit(), messages.length > 0));
    expect((await again).json).toEqual({ received: 1 });
    expect(messages).toEqual([['a']]);
  });
});

describe('An unusual but valid POST', () => {
  it.each<[string, Defect, unknown]>([
    ['without a number', { query: '' }, 'forged'],
    ['with a number in an array, which is ignored', { query: '&messageId[]=7' }, 'forged'],
    ['with a number under another name', { query: '&MessageId=x&messageid=-1' }, 'forged'],
    ['with leading zeros', { query: '&messageId=000000000000000' }, 'forged'],
    ['with percent-encoded digits', { query: '&messageId=%30' }, 'forged'],
    ['with a byte order mark', { body: '\ufeff"a"' }, 'a'],
    ['with spaces around the value', { body: ' \t\r\n"a"\n' }, 'a'],
    ['with a number that overflows to Infinity', { body: '1e400' }, Infinity],
    ['with half a surrogate pair', { body: '"\\ud800"' }, '\ud800'],
    ['with a noncharacter', { body: '"\uffff"' }, '\uffff'],
    [
      'with an object that has a "__proto__" field',
      { body: '{"__proto__":1}' },
      expect.any(Object),
    ],
    ['with an unknown parameter', { query: '&messageId=0&__proto__[x]=1&x[]=2&x' }, 'forged'],
    ['with an empty charset', inHeader('Content-Type')('text/plain; charset='), 'forged'],
    ['with an unknown JSON media type', inHeader('Content-Type')('application/a+json'), 'forged'],
  ])('%s is accepted in the Dart dialect', async (_, defect, message) => {
    const { peer, send, delivered } = await openOne('dart');
    expect((await send({ ...peer.next('forged'), ...defect })).status).toBe(200);
    expect(delivered).toEqual([[message]]);
  });

  it.each<[string, (body: string) => Defect]>([
    ['with a number of the Dart dialect', () => ({ query: '&messageId=12' })],
    ['with unknown fields', (body) => inBody(body.replace('{', '{"x":1,"__proto__":{},'))],
    [
      'with a field twice, of which the last counts',
      (body) => inBody(body.replace('{', '{"id":-1,')),
    ],
    ['with a number in another notation', (body) => inBody(body.replace('"id":0', '"id":-0.0e3'))],
    ['with a JSON media type', () => inHeader('Content-Type')('application/json')],
  ])('%s is accepted in the duplex dialect', async (_, defectOf) => {
    const { peer, send, delivered } = await openOne('duplex');
    const parts = peer.next('x');
    expect((await send({ ...parts, ...defectOf(parts.body) })).status).toBe(200);
    expect(delivered).toEqual([['x']]);
  });

  it.each([
    ['dart', 500],
    ['duplex', 498], // the envelope and its list of messages are two levels
  ] as const)(
    'of the %s dialect with a message nested %i levels deep is accepted',
    async (dialect, levels) => {
      const { peer, send, delivered } = await openOne(dialect);
      const parts = peer.next('deep');
      const body = parts.body.replace('"deep"', arrays(levels));
      expect((await send({ ...parts, body })).status).toBe(200);
      expect(JSON.stringify(delivered[0]![0])).toBe(arrays(levels));
    },
  );

  it('with a string that contains many brackets is accepted in both dialects', async () => {
    for (const dialect of ['dart', 'duplex'] as const) {
      const { peer, send, delivered } = await openOne(dialect);
      expect((await send(peer.next(arrays(4_000)))).status).toBe(200);
      expect(delivered).toEqual([[arrays(4_000)]]);
    }
  });
});

/** Returns the JSON of arrays that are nested so many levels deep. */
function arrays(levels: number): string {
  return '['.repeat(levels) + ']'.repeat(levels);
}

/** Returns the JSON of objects that are nested so many levels deep. */
function objects(levels: number): string {
  return '{"a":'.repeat(levels) + '0' + '}'.repeat(levels);
}
