import { createHash } from 'node:crypto';
import { SessionToken } from '../../lib/server/session-token';

describe('SessionToken', () => {
  it('has 126 random bits, and matches itself only', () => {
    const tokens = Array.from({ length: 100 }, () => new SessionToken());
    expect(new Set(tokens.map(({ value }) => value)).size).toBe(100);
    const [token] = tokens as [SessionToken];
    expect(token.value).toMatch(/^[\w-]{21}$/);
    expect(token.matches(token.value)).toBe(true);
    for (const wrong of ['', token.value.slice(1), `${token.value}x`, 'x'.repeat(21)]) {
      expect(token.matches(wrong)).toBe(false);
    }
  });

  it('has 128 bits of the SHA-256 of its value as its hash', () => {
    const { value, hash } = new SessionToken();
    expect(hash).toBe(createHash('sha256').update(value).digest('base64url').slice(0, 22));
  });

  it('takes its value from the first token that matches its hash', () => {
    const { value, hash } = new SessionToken();
    const known = SessionToken.fromHash(hash);
    expect([known.value, known.hash, known.matches('wrong'), known.value]).toEqual([
      '',
      hash,
      false,
      '',
    ]);
    expect(known.matches('')).toBe(false);
    expect([known.matches(value), known.value, known.hash]).toEqual([true, value, hash]);
    expect(known.matches('wrong')).toBe(false);
  });
});
