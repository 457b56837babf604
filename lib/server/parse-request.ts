import type { IncomingMessage } from 'node:http';
import { validateClose } from '../protocol/close-code';
import {
  BINARY,
  CLIENT_ID,
  LAST_EVENT_ID,
  MESSAGE_ID,
  POLL,
  PROTOCOL,
  PROTOCOL_VERSION,
  SUBPROTOCOLS_HEADER,
  YES,
  isCount,
  parseLastEventId,
} from '../protocol/wire';
import type { Close, Envelope } from '../protocol/wire';
import { dartDialect, duplexDialect } from './dialect';
import type { Dialect } from './dialect';
import { decodeBase64 } from './message';
import { SseRequestError } from './request-error';

/** Longest session id, in UTF-16 code units. */
const MAX_ID_LENGTH = 256;
/** A token [RFC 9110 §5.6.2], or nothing. */
const SUBPROTOCOL = /^[!#$%&'*+\-.^`|~\w]*$/;
const CONTROL_CHARACTER = /\p{Cc}/u;

/** The parameters of a GET. */
export interface StreamRequest {
  id: string;
  dialect: Dialect;
  /** Whether the response ends after its events: see `PollStream`. */
  isPoll: boolean;
  /** Whether the client accepts messages that are not JSON. */
  acceptsBinary: boolean;
  /** The subprotocols that the client offers, in its order of preference. */
  subprotocols: ReadonlySet<string>;
  /** Whether the request has a `Last-Event-ID`, which means that the client had a session before. */
  hasLastEventId: boolean;
  /** The session that the client wants to resume, if its `Last-Event-ID` is one of this package. */
  resumption: { token: string; received: number } | undefined;
}

/** @throws SseRequestError if a parameter is invalid. */
export function parseStreamRequest(
  { headers }: IncomingMessage,
  query: URLSearchParams,
): StreamRequest {
  const dialect = parseDialect(query);
  const inQuery = dialect === dartDialect ? parseParameter(query, LAST_EVENT_ID) : undefined;
  const lastEventId = headers['last-event-id'] ?? inQuery;
  return {
    id: parseId(query),
    dialect,
    isPoll: parseFlag(query, POLL),
    acceptsBinary: dialect === duplexDialect && parseFlag(query, BINARY),
    hasLastEventId: lastEventId !== undefined,
    subprotocols: parseSubprotocols(headers[SUBPROTOCOLS_HEADER.toLowerCase()]),
    resumption: typeof lastEventId === 'string' ? parseLastEventId(lastEventId) : undefined,
  };
}

/**
 * Parses the parameters of a POST. `number` is undefined in the duplex dialect, and from Dart's
 * clients before 3.6 [dart].
 *
 * @throws SseRequestError if a parameter is invalid.
 */
export function parsePostRequest(query: URLSearchParams): {
  id: string;
  number: number | undefined;
} {
  return { id: parseId(query), number: parseMessageId(query) };
}

/** @throws SseRequestError if `value` is not the body of a duplex POST. */
export function parseEnvelope(value: unknown): Envelope {
  const { token, id, ack, messages, binary = [], close } = asRecord(value);
  if (
    typeof token === 'string' &&
    isCount(id) &&
    isCount(ack) &&
    Array.isArray(messages) &&
    decodeBinary(messages, binary) &&
    (close === undefined || isClose(close))
  ) {
    // Without `retry`, which only a server may set.
    const end = close && { code: close.code, reason: close.reason };
    return { token, id, ack, messages, close: end };
  }
  throw new SseRequestError(
    'bad-request',
    'the body is not {"token", "id", "ack", "messages", "binary"?, "close"?} as PROTOCOL.md defines it, or a ' +
      'body parser changed it: mount sse-duplex before body parsers',
  );
}

/** Whether `value` is meant to be the body of a duplex POST. */
export function isEnvelope(value: unknown): boolean {
  return 'token' in asRecord(value);
}

/** Replaces the binary messages by their bytes. Returns false if `indices` is not as PROTOCOL.md defines it. */
function decodeBinary(messages: unknown[], indices: unknown): boolean {
  if (!Array.isArray(indices)) return false;
  return indices.every((index) => {
    const bytes = isCount(index) ? decodeBase64(messages[index]) : undefined;
    if (bytes) messages[index as number] = bytes;
    return bytes !== undefined;
  });
}

/** Returns the size in bytes of the messages of a duplex POST, with their commas and the field `binary`. */
export function sizeOfMessages(envelope: Envelope, bodySize: number): number {
  return bodySize - Buffer.byteLength(JSON.stringify({ ...envelope, messages: [] }));
}

function isClose(value: unknown): value is Close {
  const { code, reason } = asRecord(value);
  return validateClose(code, reason) === undefined;
}

function asRecord(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {};
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** Returns a parameter that occurs at most once. */
function parseParameter(query: URLSearchParams, name: string): string | undefined {
  const [value, second] = query.getAll(name);
  if (second !== undefined) {
    throw new SseRequestError('bad-request', `the query parameter "${name}" occurs more than once`);
  }
  return value;
}

function parseId(query: URLSearchParams): string {
  const id = parseParameter(query, CLIENT_ID);
  if (id === undefined || id === '' || id.length > MAX_ID_LENGTH || CONTROL_CHARACTER.test(id)) {
    throw new SseRequestError(
      'bad-request',
      `the query parameter "${CLIENT_ID}" must be the session id: 1 to ${MAX_ID_LENGTH} printable characters`,
    );
  }
  return id;
}

function parseDialect(query: URLSearchParams): Dialect {
  const version = parseParameter(query, PROTOCOL);
  if (version === undefined) return dartDialect;
  if (version === PROTOCOL_VERSION) return duplexDialect;
  throw new SseRequestError(
    'bad-request',
    `this server supports ${PROTOCOL}=${PROTOCOL_VERSION}, not ${JSON.stringify(version.slice(0, 20))}`,
  );
}

function parseFlag(query: URLSearchParams, name: string): boolean {
  const value = parseParameter(query, name);
  if (value === undefined || value === YES) return value !== undefined;
  throw new SseRequestError(
    'bad-request',
    `the query parameter "${name}" must be ${YES}, or be left out`,
  );
}

/** @throws SseRequestError if the header is not a list of tokens [RFC 9110 §5.6.1]. */
function parseSubprotocols(header: string | string[] = ''): ReadonlySet<string> {
  const names = String(header)
    .split(',')
    .map((name) => name.trim());
  if (names.every((name) => SUBPROTOCOL.test(name))) return new Set(names.filter(Boolean));
  throw new SseRequestError(
    'bad-request',
    `the header "${SUBPROTOCOLS_HEADER}" must be the names of the subprotocols, separated by commas`,
  );
}

function parseMessageId(query: URLSearchParams): number | undefined {
  const text = parseParameter(query, MESSAGE_ID);
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text)) {
    throw new SseRequestError(
      'bad-request',
      `the query parameter "${MESSAGE_ID}" must be the number of the message, counted from 0`,
    );
  }
  return Number(text);
}
