import { createHash, timingSafeEqual } from 'node:crypto';
import { nanoid } from 'nanoid';

/** Length of a hash of 128 bits, which is as much as the token has. An engine keeps it for each session. */
const HASH_LENGTH = 22;

/** The session token, with which a client proves that a session is its own. */
export class SessionToken {
  #value: string;
  /** Present until the value is known. */
  #hash: string | undefined;

  constructor(value: string = nanoid()) {
    this.#value = value;
  }

  /** The token of a session that this node continues, and whose client has not proved itself here yet. */
  static fromHash(hash: string): SessionToken {
    const token = new SessionToken('');
    token.#hash = hash;
    return token;
  }

  /** The token, or '' if only its hash is known. */
  get value(): string {
    return this.#value;
  }

  /** The first 128 bits of the token's SHA-256, in base64url. */
  get hash(): string {
    return this.#hash ?? hashToken(this.#value);
  }

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
