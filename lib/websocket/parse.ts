import { CloseCode, MAX_CLOSE_REASON_BYTES } from '../protocol/close-code';
import { utf8Length } from '../protocol/utf8';
import type { Close } from '../protocol/wire';

/** A token [RFC 9110 §5.6.2]. */
const TOKEN = /^[!#$%&'*+\-.^`|~\w]+$/;

/**
 * Parses the URL of a WebSocket [WebSockets §3.1].
 *
 * @param base the base of relative URLs.
 * @returns the URL for the attribute `url`, with the scheme `ws` or `wss`.
 * @throws DOMException (SyntaxError) if it is not a URL, has another scheme than ws, wss, http and https, or has a
 * fragment or, unlike a WebSocket's, a user name or a password.
 */
export function parseUrl(text: string, base: string | undefined): URL {
  let url;
  try {
    url = new URL(text, base);
  } catch {
    throw syntaxError(`invalid URL ${JSON.stringify(text)}`);
  }
  const { protocol } = url;
  if (!/^(ws|http)s?:$/.test(protocol)) {
    throw syntaxError(`invalid scheme ${protocol} use ws:, wss:, http: or https:`);
  }
  if (url.href.includes('#')) throw syntaxError('a fragment (#) is not allowed in the URL');
  if (url.username || url.password) {
    throw syntaxError(
      'the URL contains a user name or a password: use SseWebSocket.with({ headers })',
    );
  }
  url.protocol = protocol.replace('http', 'ws');
  return url;
}

/**
 * Returns the subprotocols to offer.
 *
 * @throws DOMException (SyntaxError) if one is not a token, or occurs twice.
 */
export function parseProtocols(protocols: string | readonly string[]): string[] {
  const list = typeof protocols === 'string' ? [protocols] : [...protocols].map(String);
  list.forEach((protocol, index) => {
    if (!TOKEN.test(protocol)) throw syntaxError(`invalid subprotocol ${JSON.stringify(protocol)}`);
    if (list.indexOf(protocol) < index) throw syntaxError(`subprotocol ${protocol} occurs twice`);
  });
  return list;
}

/**
 * Converts the arguments of `close`, and checks them [WebSockets §3.1].
 *
 * @returns the code and the reason. Without a code, it is 1005.
 * @throws TypeError if an argument is a symbol, or the code a BigInt.
 * @throws DOMException (InvalidAccessError) if the code is neither 1000 nor 3000 to 4999.
 * @throws DOMException (SyntaxError) if the reason is longer than 123 bytes of UTF-8.
 */
export function parseClose(codeValue: unknown, reasonValue: unknown): Close {
  const code = codeValue === undefined ? CloseCode.noStatus : toInteger(codeValue);
  const reason = toUsvString(reasonValue);
  if (codeValue !== undefined && code !== CloseCode.normal && !(code >= 3000 && code <= 4999)) {
    throw new DOMException(
      `invalid close code ${code}: use 1000, or 3000 to 4999`,
      'InvalidAccessError',
    );
  }
  const length = utf8Length(reason);
  if (length > MAX_CLOSE_REASON_BYTES) {
    throw syntaxError(
      `invalid close reason: ${length} bytes exceed the limit of ${MAX_CLOSE_REASON_BYTES}`,
    );
  }
  return { code, reason };
}

/**
 * Converts a value to a string of Unicode characters: lone surrogates, which UTF-8 cannot express, are replaced
 * [WebIDL, USVString].
 *
 * @throws TypeError if it is a symbol. `String` would accept it.
 */
export function toUsvString(value: unknown): string {
  return ''.concat(value as string).replace(/\p{Surrogate}/gu, '\uFFFD');
}

/** Converts a value to a number, and rounds it to the nearest integer, halves to the even one [WebIDL, Clamp]. */
function toInteger(value: unknown): number {
  const number = +(value as string); // `Number` would accept a BigInt
  const floor = Math.floor(number);
  return number - floor === 0.5 ? floor + (floor % 2) : Math.round(number);
}

function syntaxError(message: string): DOMException {
  return new DOMException(message, 'SyntaxError');
}
