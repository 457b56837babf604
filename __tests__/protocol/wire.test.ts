import fc from 'fast-check';
import { nanoid } from 'nanoid';
import { validateClose, formatLastEventId, parseLastEventId } from '../../lib/protocol/wire';

describe('a Last-Event-ID', () => {
  it('carries a token and a count', () => {
    expect(formatLastEventId('V1St-GXR8_Z', 17)).toBe('V1St-GXR8_Z.17');
    expect(parseLastEventId('V1St-GXR8_Z.17')).toEqual({ token: 'V1St-GXR8_Z', received: 17 });
  });

  it('comes back as it went, whatever the token and the count', () => {
    const property = fc.property(fc.nat({ max: 10 ** 15 - 1 }), (received) => {
      const token = nanoid();
      expect(parseLastEventId(formatLastEventId(token, received))).toEqual({ token, received });
    });
    fc.assert(property);
  });

  it.each([
    '',
    '.',
    '17',
    'token',
    'token.',
    '.17',
    'token.-1',
    'token.1.2',
    'token.1e3',
    'token. 1',
    'token.1 ',
    'token.1\n',
    'to ken.1',
    'tökén.1',
    `token.${'9'.repeat(16)}`,
    `${'t'.repeat(65)}.1`,
  ])('is no proof as %j', (value) => {
    expect(parseLastEventId(value)).toBeUndefined();
  });

  it.each([
    [`token.${'9'.repeat(15)}`, 999_999_999_999_999],
    [`${'t'.repeat(64)}.0`, 0],
    ['token.007', 7],
  ])('is one as %j', (value, received) => {
    expect(parseLastEventId(value)?.received).toBe(received);
  });
});

describe('a close', () => {
  it.each([1000, 1001, 1002, 1003, 1007, 1014, 3000, 4000, 4999])('may have code %i', (code) => {
    expect(validateClose(code, '')).toBeUndefined();
  });

  it.each([999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 0, -1, 1000.5, NaN, '1000', null])(
    'may not have code %p',
    (code) => {
      expect(validateClose(code, '')).toBe(
        `close code ${String(code)} is not one to send: use 1000, or 3000 to 4999 for your own`,
      );
    },
  );

  it.each(['', 'x'.repeat(123), 'é'.repeat(61)])('may have reason %j', (reason) => {
    expect(validateClose(1000, reason)).toBeUndefined();
  });

  it.each(['x'.repeat(124), 'é'.repeat(62), undefined, null, 1])(
    'may not have reason %p',
    (reason) => {
      expect(validateClose(1000, reason)).toBe('a close reason is a string of at most 123 bytes');
    },
  );
});
