import { validateClose } from '../../lib/protocol/close-code';

describe('validateClose', () => {
  it.each([1000, 1001, 1002, 1003, 1005, 1007, 1014, 3000, 4000, 4999])(
    'accepts code %i',
    (code) => {
      expect(validateClose(code, '')).toBeUndefined();
    },
  );

  it.each([999, 1004, 1006, 1015, 1016, 2999, 5000, 11_000, 0, -1, 1000.5, NaN, '1000', null])(
    'rejects code %p',
    (code) => {
      expect(validateClose(code, '')).toBe(
        `invalid close code ${String(code)}: use 1000, or 3000 to 4999 for your own codes`,
      );
    },
  );

  it.each(['', 'x'.repeat(123), 'é'.repeat(61), '😀'.repeat(30)])('accepts reason %j', (reason) => {
    expect(validateClose(1000, reason)).toBeUndefined();
  });

  it.each([
    ['x'.repeat(124), 124],
    ['é'.repeat(62), 124],
    ['😀'.repeat(31), 124],
  ])('rejects reason %j because it is longer than 123 bytes', (reason, length) => {
    expect(validateClose(1000, reason)).toBe(
      `invalid close reason: ${length} bytes of UTF-8 exceed the limit of 123`,
    );
  });

  it.each([undefined, null, 1])('rejects reason %p because it is not a string', (reason) => {
    expect(validateClose(1000, reason)).toMatch(/^invalid close reason: it must be a string, not /);
  });
});
