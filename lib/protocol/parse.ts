import type { Close, Hello } from './wire';
import { isCount } from './wire';

/**
 * Parsers of what a client receives. A proxy, a cache or a login page may answer in the server's
 * place, so nothing is used before its form has been checked. Each parser returns undefined if the
 * text is not JSON, or if a field is missing or has the wrong type. Unknown fields are allowed.
 */

/** Longest interval that a server may announce, in milliseconds. A timer can wait for 2.5 times that. */
const MAX_INTERVAL = 2 ** 29;

/** Parses JSON. Returns undefined if `text` is not JSON, since JSON has no such value. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Parses JSON and returns its fields. A value that is not an object has none. */
export function parseFields(text: string): Record<string, unknown> {
  return fieldsOf(parseJson(text));
}

/** Parses the data of a `hello` event. */
export function parseHello(text: string): Hello | undefined {
  const fields = parseFields(text);
  return isHello(fields) ? fields : undefined;
}

/** Returns a `close` event's data, or an error response's `close`, if it has the right form. */
export function readClose(value: unknown): Close | undefined {
  const fields = fieldsOf(value);
  return isClose(fields) ? fields : undefined;
}

function isHello(value: object): value is Hello {
  const { token, resumed, sent, received, heartbeat, ackAfter, maxPayload }: Partial<Hello> = value;
  const { messages, bytes, idle } = fieldsOf(ackAfter);
  return (
    typeof token === 'string' &&
    /^[\w-]{1,64}$/.test(token) && // the form that `parseLastEventId` accepts
    typeof resumed === 'boolean' &&
    [sent, received, maxPayload, messages, bytes].every(isCount) &&
    [heartbeat, idle].every(isInterval)
  );
}

function isClose(value: object): value is Close {
  const { code, reason, retry = 1 }: Partial<Close> = value;
  return isCount(code) && typeof reason === 'string' && isInterval(retry);
}

function isInterval(value: unknown): value is number {
  return typeof value === 'number' && value > 0 && value <= MAX_INTERVAL;
}

/** The fields of any value. undefined and null have none. */
function fieldsOf(value: unknown): Record<string, unknown> {
  return Object(value) as Record<string, unknown>;
}
