import fc from 'fast-check';
import { utf8Length } from '../../lib/protocol/utf8';

describe('utf8Length', () => {
  it('returns the length that TextEncoder produces, for lone surrogates as well', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom('\uD83D', '\uDE00', '\u07FF', '\u0800', '\uFFFF', 'a') }),
    );
    const property = fc.property(text, (value) => {
      expect(utf8Length(value)).toBe(new TextEncoder().encode(value).length);
    });
    fc.assert(property);
  });
});
