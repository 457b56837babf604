import { decodeBase64, decodeMessage, encodeMessage } from '../../lib/server/message';

const { buffer } = Uint8Array.of(0, 1, 2, 253, 254, 255);

describe('encodeMessage', () => {
  it.each<[string, unknown, string]>([
    ['an ArrayBuffer', buffer, '=AAEC/f7/'],
    ['a part of an ArrayBuffer', new Uint8Array(buffer, 1, 4), '=AQL9/g=='],
    ['a Buffer', Buffer.from('hi'), '=aGk='],
    ['numbers of more than one byte', Uint16Array.of(1, 256), '=AQAAAQ=='],
    ['a DataView', new DataView(buffer, 5), '=/w=='],
    ['no bytes', new ArrayBuffer(0), '='],
    ['a string', '=AAEC', '"=AAEC"'],
    ['an object', { a: 1 }, '{"a":1}'],
  ])('encodes %s in one line', (_, message, encoded) => {
    expect(encodeMessage(message)).toBe(encoded);
  });

  it.each<[string, string, string]>([
    ['as it is', '{"é":"€"}', '\'{"é":"€"}'],
    ['as JSON if it has a line feed', 'a\nb', '"a\\nb"'],
    ['as JSON if it has a carriage return', 'a\rb', '"a\\rb"'],
    ['as JSON if half of a surrogate pair is missing', '\ud83d', '"\\ud83d"'],
    ['as JSON if it has a surrogate pair', '😀', '"😀"'],
    ['as it is, if it is empty', '', "'"],
  ])('encodes a string %s, for a client that accepts text', (_, message, encoded) => {
    expect(encodeMessage(message, true)).toBe(encoded);
    expect(decodeMessage(encoded)).toBe(message);
  });

  it('throws a TypeError for a Blob, which says what to send instead', () => {
    expect(() => encodeMessage(new Blob(['x']))).toThrow(
      new TypeError('cannot send: a Blob is read asynchronously, send await blob.arrayBuffer()'),
    );
  });
});

describe('decodeMessage', () => {
  it.each<[string, unknown]>([
    ['=AAEC/f7/', Buffer.from(buffer)],
    ['=', Buffer.alloc(0)],
    ["'a string, as it is", 'a string, as it is'],
    ["'", ''],
    ['{"a":[1]}', { a: [1] }],
    ['"="', '='],
  ])('decodes %s', (encoded, message) => {
    expect(decodeMessage(encoded)).toEqual(message);
  });
});

describe('decodeBase64', () => {
  it.each(['', 'AA==', 'AAE=', 'AAEC', '/+//'])('accepts %j', (text) => {
    expect(decodeBase64(text)).toEqual(Buffer.from(text, 'base64'));
  });

  it.each([
    7,
    null,
    undefined,
    ['AAEC'],
    'A',
    'AA',
    'AAE',
    'AA E',
    'AAE\n',
    'AA=A',
    '====',
    'AAECéAAE',
  ])('rejects %j', (value) => {
    expect(decodeBase64(value)).toBeUndefined();
  });
});
