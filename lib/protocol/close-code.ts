import { utf8Length } from './utf8';

/** The close codes that this package itself sends or reports [RFC 6455 §7.4.1 and its IANA registry]. */
export const CloseCode = {
  /** Default of `close()`. */
  normal: 1000,
  /** The page was left, or the server is stopping. */
  goingAway: 1001,
  /** A message is missing, or the peer does not follow the protocol. */
  protocolError: 1002,
  /** The client does not accept binary messages. */
  unsupportedData: 1003,
  /** The side that closed gave no code, as WebSocket's `close()` without arguments. */
  noStatus: 1005,
  /** Never sent: the peer disappeared without closing. */
  abnormal: 1006,
  /** A configured limit was exceeded. */
  policyViolation: 1008,
  /** A message is larger than the client accepts. */
  messageTooBig: 1009,
  /** The server could not open the stream, or has lost messages or broadcasts of the session. */
  internalError: 1011,
  /** The server restarts; the client may open a new session. */
  serviceRestart: 1012,
} as const;

/** Largest close reason, in bytes of UTF-8 [RFC 6455 §5.5]. */
export const MAX_CLOSE_REASON_BYTES = 123;

/** The codes that an endpoint may send: 1004 and 1006 are reserved [RFC 6455 §7.4.1]. */
const SENDABLE_CODE = /^(100[0-357-9]|101[0-4]|[34]\d{3})$/;

/**
 * Checks the code and the reason that one side closes a session with. The rule is the same for both
 * sides: 1000 to 1003 and 1007 to 1014 [RFC 6455 §7.4.1], 1005 for none, or 3000 to 4999 for the
 * application's own codes [RFC 6455 §7.4.2], with a reason of at most 123 bytes of UTF-8.
 *
 * @returns what is wrong, or undefined if both are valid.
 */
export function validateClose(code: unknown, reason: unknown): string | undefined {
  if (typeof code !== 'number' || !SENDABLE_CODE.test(String(code))) {
    return `invalid close code ${String(code)}: use 1000, or 3000 to 4999 for your own codes`;
  }
  if (typeof reason !== 'string') {
    return `invalid close reason: it must be a string, not ${typeof reason}`;
  }
  const length = utf8Length(reason);
  if (length > MAX_CLOSE_REASON_BYTES) {
    return `invalid close reason: ${length} bytes of UTF-8 exceed the limit of ${MAX_CLOSE_REASON_BYTES}`;
  }
  return undefined;
}

/** @throws RangeError if the code or the reason is invalid: see {@link validateClose}. */
export function checkClose({ code, reason }: { code: unknown; reason: unknown }): void {
  const problem = validateClose(code, reason);
  if (problem !== undefined) throw new RangeError(problem);
}
