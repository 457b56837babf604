import type { IncomingMessage } from 'node:http';
import { dartDialect, duplexDialect } from '../../lib/server/dialect';
import {
  parseEnvelope,
  parsePostRequest,
  parseStreamRequest,
  sizeOfMessages,
} from '../../lib/server/parse-request';

function badRequest(message = ''): Error {
  return expect.objectContaining({
    code: 'bad-request',
    status: 400,
    message: expect.stringContaining(message) as string,
  }) as Error;
}

const INVALID_IDS: [string, string, string][] = [
  ['no session id', '', '"sseClientId" must be the session id'],
  ['an empty session id', 'sseClientId=', '1 to 256 printable'],
  ['a session id of 257 characters', `sseClientId=${'x'.repeat(257)}`, '1 to 256'],
  ['a session id with a control character', 'sseClientId=a%00', 'printable'],
  ['two session ids', 'sseClientId=a&sseClientId=b', '"sseClientId" occurs more than once'],
];

describe('parseStreamRequest', () => {
  const parse = (query: string, headers?: IncomingMessage['headers']) =>
    parseStreamRequest({ headers: headers ?? {} } as never, new URLSearchParams(query));

  it('selects the Dart dialect for a GET with only a session id', () => {
    expect(parse('sseClientId=a')).toEqual({
      id: 'a',
      dialect: dartDialect,
      isPoll: false,
      acceptsBinary: false,
      subprotocols: new Set(),
      hasLastEventId: false,
      resumption: undefined,
    });
  });

  it('selects the duplex dialect for sseProtocol=2', () => {
    expect(parse('sseClientId=a&sseProtocol=2').dialect).toBe(duplexDialect);
  });

  it('reads a Last-Event-ID from the query in the Dart dialect, where a header has precedence', () => {
    const resumption = { token: 'TOKEN', received: 7 };
    expect(parse('sseClientId=a&lastEventId=TOKEN.7')).toMatchObject({
      hasLastEventId: true,
      resumption,
    });
    expect(
      parse('sseClientId=a&lastEventId=OTHER.1', { 'last-event-id': 'TOKEN.7' }),
    ).toMatchObject({ resumption });
  });

  it('ignores a Last-Event-ID in the query in the duplex dialect, whose token is never part of a URL', () => {
    expect(parse('sseClientId=a&sseProtocol=2&lastEventId=TOKEN.7')).toMatchObject({
      hasLastEventId: false,
      resumption: undefined,
    });
  });

  it('asks for a poll with ssePoll=1, in both dialects', () => {
    expect(parse('sseClientId=a&sseProtocol=2&ssePoll=1').isPoll).toBe(true);
    expect(parse('sseClientId=a&ssePoll=1').isPoll).toBe(true);
  });

  it('reads from sseBinary=1 that the client accepts binary messages', () => {
    expect(parse('sseClientId=a&sseProtocol=2&sseBinary=1').acceptsBinary).toBe(true);
    expect(() => parse('sseClientId=a&sseProtocol=2&sseBinary=0')).toThrow('"sseBinary" must be 1');
  });

  it('ignores sseBinary=1 in the Dart dialect, whose clients understand only JSON', () => {
    expect(parse('sseClientId=a&sseBinary=1').acceptsBinary).toBe(false);
  });

  it.each(['0', 'true', ''])('rejects ssePoll=%s', (value) => {
    expect(() => parse(`sseClientId=a&ssePoll=${value}`)).toThrow(
      'the query parameter "ssePoll" must be 1, or be left out',
    );
  });

  it('accepts a session id of 256 characters', () => {
    const id = 'x'.repeat(256);
    expect(parse(`sseClientId=${id}`).id).toBe(id);
  });

  it('returns the token and the count of a Last-Event-ID of this package', () => {
    expect(parse('sseClientId=a', { 'last-event-id': 'TOKEN.7' })).toMatchObject({
      hasLastEventId: true,
      resumption: { token: 'TOKEN', received: 7 },
    });
  });

  it.each(['', 'another id'])('returns no resumption for the Last-Event-ID %j', (value) => {
    expect(parse('sseClientId=a', { 'last-event-id': value })).toMatchObject({
      hasLastEventId: true,
      resumption: undefined,
    });
  });

  it.each([
    ...INVALID_IDS,
    ['another version', 'sseClientId=a&sseProtocol=3', 'sseProtocol=2, not "3"'],
    ['an empty version', 'sseClientId=a&sseProtocol=', 'sseProtocol=2, not ""'],
    ['two versions', 'sseClientId=a&sseProtocol=2&sseProtocol=2', 'occurs more than once'],
  ])('rejects a query with %s', (_, query, message) => {
    expect(() => parse(query)).toThrow(badRequest(message));
  });

  it('quotes at most 20 characters of an unknown version', () => {
    const query = `sseClientId=a&sseProtocol=${'3'.repeat(30)}`;
    expect(() => parse(query)).toThrow(badRequest(`not "${'3'.repeat(20)}"`));
  });
});

describe('parsePostRequest', () => {
  const parse = (query: string) => parsePostRequest(new URLSearchParams(query));

  it('returns the session id, and no number without messageId', () => {
    expect(parse('sseClientId=a')).toEqual({ id: 'a', number: undefined });
  });

  it.each([
    ['0', 0],
    ['007', 7],
    ['9'.repeat(15), 999_999_999_999_999],
  ])('returns the message number of messageId=%s', (text, number) => {
    expect(parse(`sseClientId=a&messageId=${text}`).number).toBe(number);
  });

  it.each([
    ...INVALID_IDS,
    ['a negative message number', 'sseClientId=a&messageId=-1', '"messageId" must be the number'],
    ['a message number of letters', 'sseClientId=a&messageId=x', '"messageId"'],
    ['an empty message number', 'sseClientId=a&messageId=', '"messageId"'],
    ['a message number of 16 digits', `sseClientId=a&messageId=${'9'.repeat(16)}`, '"messageId"'],
    ['two message numbers', 'sseClientId=a&messageId=0&messageId=1', 'occurs more than once'],
  ])('rejects a query with %s', (_, query, message) => {
    expect(() => parse(query)).toThrow(badRequest(message));
  });
});

describe('parseEnvelope', () => {
  const ENVELOPE = { token: 'T', id: 0, ack: 0, messages: ['x'] };

  it('returns the members of an envelope', () => {
    const close = { code: 4000, reason: 'done' };
    expect(parseEnvelope({ ...ENVELOPE, close })).toEqual({ ...ENVELOPE, close });
    expect(parseEnvelope(ENVELOPE)).toEqual({ ...ENVELOPE, close: undefined });
  });

  it('returns no members that a client must not send', () => {
    const close = { code: 4000, reason: '', retry: 1000 };
    expect(parseEnvelope({ ...ENVELOPE, close, other: 1 })).toEqual({
      ...ENVELOPE,
      close: { code: 4000, reason: '' },
    });
  });

  it('accepts a close reason of 123 bytes of UTF-8', () => {
    const close = { code: 1000, reason: `${'é'.repeat(61)}x` };
    expect(parseEnvelope({ ...ENVELOPE, close }).close).toEqual(close);
  });

  it.each<[string, object]>([
    ['no token', { token: undefined }],
    ['a token that is a number', { token: 1 }],
    ['no number', { id: undefined }],
    ['a negative number', { id: -1 }],
    ['a number that is not an integer', { id: 0.5 }],
    ['a number above the safe integers', { id: 2 ** 53 }],
    ['no ack', { ack: undefined }],
    ['an ack that is a string', { ack: '1' }],
    ['messages that are not an array', { messages: { 0: 'x' } }],
    ['a close code that may not be sent', { close: { code: 1006, reason: '' } }],
    ['a close without a reason', { close: { code: 1000 } }],
    ['a close that is null', { close: null }],
    ['a close reason of 124 bytes of UTF-8', { close: { code: 1000, reason: 'é'.repeat(62) } }],
  ])('rejects an envelope with %s', (_, members) => {
    expect(() => parseEnvelope({ ...ENVELOPE, ...members })).toThrow(badRequest('PROTOCOL.md'));
  });

  it.each([null, 1, 'text', true, []])('rejects the body %j', (body) => {
    expect(() => parseEnvelope(body)).toThrow(badRequest('mount sse-duplex before body parsers'));
  });
});

describe('sizeOfMessages', () => {
  it.each<[unknown[], object | undefined, number]>([
    [[], undefined, 0],
    [['ü'], undefined, 4],
    [[1, null, 'x'], { code: 1000, reason: '' }, 10],
  ])('of %j with close %j is %i', (messages, close, size) => {
    const envelope = parseEnvelope({ token: 'T', id: 10, ack: 200, messages, close });
    const bodySize = Buffer.byteLength(JSON.stringify(envelope));
    expect(sizeOfMessages(envelope, bodySize)).toBe(size);
  });

  it('includes the field "binary"', () => {
    const body = '{"token":"T","id":10,"ack":200,"messages":["","AQID"],"binary":[0,1]}';
    const size = '"","AQID","binary":[0,1]'.length;
    expect(sizeOfMessages(parseEnvelope(JSON.parse(body)), body.length)).toBe(size);
  });
});
