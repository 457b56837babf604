import { runInNewContext } from 'node:vm';
import { bytesOf, isBlob, isJson, toJson } from '../../lib/protocol/message';

describe('isJson', () => {
  it.each<[string, boolean]>([
    ['"text"', true],
    ['1', true],
    [`"='"`, true],
    ['=AQI=', false],
    ["'text", false],
    ['=', false],
    ["'", false],
  ])('for %s is %p', (message, expected) => {
    expect(isJson(message)).toBe(expected);
  });
});

describe('bytesOf', () => {
  it.each<[string, unknown]>([
    ['an ArrayBuffer', Uint8Array.of(1, 2, 3).buffer],
    ['a Uint8Array', Uint8Array.of(1, 2, 3)],
    ['a Buffer', Buffer.of(1, 2, 3)],
    ['a part of a buffer', new DataView(Uint8Array.of(0, 1, 2, 3, 4).buffer, 1, 3)],
    ["an ArrayBuffer of another window's", runInNewContext('Uint8Array.of(1, 2, 3).buffer')],
    ["a view of another window's", runInNewContext('Uint8Array.of(1, 2, 3)')],
  ])('returns the bytes of %s', (_, value) => {
    expect(bytesOf(value)).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('does not copy the bytes', () => {
    const { buffer } = Uint8Array.of(1, 2, 3);
    expect(bytesOf(buffer)?.buffer).toBe(buffer);
    expect(bytesOf(new Uint8Array(buffer))?.buffer).toBe(buffer);
  });

  it.each([[[1, 2, 3]], ['text'], [null], [{}], [new Blob(['text'])]])(
    'returns undefined for %p',
    (value) => {
      expect(bytesOf(value)).toBeUndefined();
    },
  );
});

describe('isBlob', () => {
  it('accepts a Blob, and a File, which is not a global in every version of Node', () => {
    const file = {
      get [Symbol.toStringTag]() {
        return 'File';
      },
    };
    expect([isBlob(new Blob(['text'])), isBlob(file)]).toEqual([true, true]);
  });

  it.each([[Uint8Array.of(1)], ['text'], [null], [undefined], [{}]])('rejects %p', (value) => {
    expect(isBlob(value)).toBe(false);
  });
});

describe('toJson', () => {
  it.each<[unknown, string]>([
    ['text', '"text"'],
    [{ a: [1, null] }, '{"a":[1,null]}'],
    [null, 'null'],
    [{ toJSON: () => 'own form' }, '"own form"'],
  ])('serialises %j', (message, json) => {
    expect(toJson(message)).toBe(json);
  });

  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['function', () => {}],
    ['symbol', Symbol('x')],
    ['object', { toJSON: () => undefined }],
  ])('throws TypeError for a value of type %s without a JSON form', (type, message) => {
    expect(() => toJson(message)).toThrow(new TypeError(`cannot send: ${type} has no JSON form`));
  });

  it.each<[string, () => unknown]>([
    ['a BigInt', () => 1n],
    [
      'a cyclic object',
      () => {
        const object: Record<string, unknown> = {};
        object.self = object;
        return object;
      },
    ],
  ])('throws TypeError for %s', (_, create) => {
    expect(() => toJson(create())).toThrow(TypeError);
  });
});
