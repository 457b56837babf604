import { toJson } from '../../lib/protocol/message';

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
