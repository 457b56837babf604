import { createHash, timingSafeEqual } from 'node:crypto';
import { nanoid } from 'nanoid';

/** Length of a hash in base64url: 132 bits, because the token has 126, and an engine keeps one for each session. */
const HASH_LENGTH = 22;

/** The session token, with which a client proves that a session is its own. */
export class SessionToken {
  #value: string;
  /** Present until the value is known. */
  #hash: string | undefined;

  constructor(value: string = nanoid()) {
    this.#value = value;
  }

  /** Returns the token of a session that this node has taken over, whose client has not presented it here yet. */
  static fromHash(hash: string): SessionToken {
    const token = new SessionToken('');
    token.#hash = hash;
    return token;
  }

  /** The token, or '' if only its hash is known. */
  get value(): string {
    return this.#value;
  }

  /** The first 132 bits of the token's SHA-256, in base64url. */
  get hash(): string {
    return this.#hash ?? hashToken(this.#value);
  }

  /** Whether `given` is this token. If it is, the value is known from then on. */
  matches(given: string): boolean {
    if (this.#hash === undefined) return isEqual(given, this.#value);
    if (!isEqual(hashToken(given), this.#hash)) return false;
    this.#value = given;
    this.#hash = undefined;
    return true;
  }
}

function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('base64url').slice(0, HASH_LENGTH);
}

function isEqual(given: string, own: string): boolean {
  const a = Buffer.from(given);
  const b = Buffer.from(own);
  return a.length === b.length && timingSafeEqual(a, b);
}
