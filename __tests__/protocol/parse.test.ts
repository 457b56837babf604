import { parseFields, parseHello, parseJson, readClose } from '../../lib/protocol/parse';

const HELLO = {
  token: 'V1St-GXR8_Z5jdHi6B-myT',
  resumed: false,
  sent: 0,
  received: 0,
  heartbeat: 15_000,
  ackAfter: { messages: 2048, bytes: 262_144, idle: 60_000 },
  maxPayload: 262_144,
};

const parse = (fields: object) => parseHello(JSON.stringify({ ...HELLO, ...fields }));

describe('parseJson', () => {
  it.each(['0', 'null', '"a"', '{"a":[1]}'])('parses %s', (text) => {
    expect(parseJson(text)).toEqual(JSON.parse(text));
  });

  it.each(['', '{', 'undefined', "'a'", '<!doctype html>'])('returns undefined for %j', (text) => {
    expect(parseJson(text)).toBeUndefined();
  });
});

describe('parseFields', () => {
  it('returns the fields of an object', () => {
    expect(parseFields('{"received":3}').received).toBe(3);
  });

  it.each(['', 'no JSON', 'null', '1', '"text"', 'true'])('finds no field in %j', (text) => {
    expect(parseFields(text).received).toBeUndefined();
  });
});

describe('parseHello', () => {
  it('returns the fields of a well-formed hello', () => {
    expect(parse({})).toEqual(HELLO);
  });

  it('allows unknown fields, such as those of later versions', () => {
    expect(parse({ later: 1 })).toEqual({ ...HELLO, later: 1 });
  });

  it.each([
    ['token', ['t', 't'.repeat(64), '_-Az09']],
    ['resumed', [true, false]],
    ['sent', [0, 1, Number.MAX_SAFE_INTEGER]],
    ['received', [0, Number.MAX_SAFE_INTEGER]],
    ['maxPayload', [1, 2 ** 29]],
    ['heartbeat', [0.5, 10, 2 ** 29]],
  ])('accepts the field "%s" with a value such as %j', (name, values) => {
    for (const value of values) expect(parse({ [name]: value })).toMatchObject({ [name]: value });
  });

  it.each([
    ['token', [undefined, null, 1, '', 't'.repeat(65), 'a.b', 'a b', 'ä', ' a', 'a\n', ['a']]],
    ['resumed', [undefined, null, 0, 1, 'true']],
    ['sent', [undefined, null, -1, 0.5, '0', 2 ** 53]],
    ['received', [undefined, null, -1, 0.5, '0', 2 ** 53]],
    ['maxPayload', [undefined, null, -1, 0.5, '1']],
    ['heartbeat', [undefined, null, 0, -1, '1', 2 ** 29 + 1]],
    ['ackAfter', [undefined, null, 1, 'a', []]],
  ])('rejects a hello whose field "%s" is one of %j', (name, values) => {
    for (const value of values) expect(parse({ [name]: value })).toBeUndefined();
  });

  it.each([
    ['messages', [undefined, null, -1, 0.5, '1']],
    ['bytes', [undefined, null, -1, 0.5, '1']],
    ['idle', [undefined, null, 0, -1, '1', 2 ** 29 + 1]],
  ])('rejects a hello whose field "ackAfter.%s" is one of %j', (name, values) => {
    for (const value of values) {
      expect(parse({ ackAfter: { ...HELLO.ackAfter, [name]: value } })).toBeUndefined();
    }
  });

  it.each(['', 'null', '1', '[]', '<!doctype html>', '{}'])('rejects %j', (text) => {
    expect(parseHello(text)).toBeUndefined();
  });
});

describe('readClose', () => {
  it.each([
    { code: 1000, reason: '' },
    { code: 1012, reason: 'restart', retry: 5_000 },
    { code: 1012, reason: 'restart', retry: 2 ** 29 },
  ])('returns %j', (close) => {
    expect(readClose(close)).toEqual(close);
  });

  it.each([
    undefined,
    null,
    1000,
    'text',
    [],
    {},
    { code: 1000 },
    { reason: '' },
    { code: '1000', reason: '' },
    { code: -1, reason: '' },
    { code: 1000.5, reason: '' },
    { code: 1000, reason: 1 },
    { code: 1012, reason: '', retry: 0 },
    { code: 1012, reason: '', retry: -1 },
    { code: 1012, reason: '', retry: '1' },
    { code: 1012, reason: '', retry: null },
    { code: 1012, reason: '', retry: 2 ** 29 + 1 },
  ])('returns undefined for %j', (value) => {
    expect(readClose(value)).toBeUndefined();
  });
});
