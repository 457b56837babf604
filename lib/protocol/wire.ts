/**
 * The names, parameters and payloads of PROTOCOL.md. `[dart]` marks what Dart's `package:sse` 4.2.0
 * defined first.
 */

/** Version of the duplex dialect: the value of {@link PROTOCOL} and {@link PROTOCOL_HEADER}. */
export const PROTOCOL_VERSION = '2';

/** Response header of a GET whose stream uses the duplex dialect. */
export const PROTOCOL_HEADER = 'Sse-Protocol';

/** Request header of a GET that opens a session: the subprotocols that the client offers, separated by commas. */
export const SUBPROTOCOLS_HEADER = 'Sse-Subprotocols';

/** Query parameter [dart]: the session id. A label that the client chooses, not a credential. */
export const CLIENT_ID = 'sseClientId';
/** Query parameter [dart]: the number of a POST's message, counted from 0. */
export const MESSAGE_ID = 'messageId';
/** Query parameter of the Dart dialect: what event-source-polyfill sends instead of `Last-Event-ID`. */
export const LAST_EVENT_ID = 'lastEventId';
/** Query parameter: requests the duplex dialect. */
export const PROTOCOL = 'sseProtocol';
/** Query parameter of a GET: with the value {@link YES}, its response is a poll. */
export const POLL = 'ssePoll';
/** Query parameter of a GET: with the value {@link YES}, the client accepts messages that are not JSON. */
export const BINARY = 'sseBinary';
/** The value of {@link POLL} and of {@link BINARY}. */
export const YES = '1';

/** Names of the events on a stream. An event without a name is a message. */
export const EventName = {
  hello: 'hello',
  ping: 'ping',
  close: 'close',
  /** Dart dialect [dart]. Its data is raw text, not JSON. */
  control: 'control',
} as const;

/** Data of the `control` event that ends a client of the Dart dialect for good [dart]. */
export const CONTROL_CLOSE = 'close';

/**
 * A peer that hears nothing for this many intervals considers the other side gone: the client counts
 * heartbeats, the server the client's idle intervals (`ackAfter.idle`).
 */
export const MISSED_INTERVALS = 2.5;

/**
 * Bytes by which a POST's body may exceed `maxPayload`: the envelope around a batch (token, numbers,
 * close code and reason). The messages with their commas and the field `binary` are at most `maxPayload` bytes.
 */
export const ENVELOPE_ALLOWANCE = 1024;

/** First event of a duplex stream. */
export interface Hello {
  /** The session token: 126 random bits. Never part of a URL. */
  token: string;
  /** Whether the stream continues the session that the request identified. */
  resumed: boolean;
  /** Number of messages that the server sent before the first one on this stream. */
  sent: number;
  /** Number of messages that the server has received from the client. */
  received: number;
  /** Interval between two heartbeats, in milliseconds. */
  heartbeat: number;
  /** Thresholds after which the client must send an acknowledgement. */
  ackAfter: {
    messages: number;
    bytes: number;
    /** Milliseconds without a POST after which the client must send one. */
    idle: number;
  };
  /** Largest message, and largest sum of a batch, in bytes of JSON. */
  maxPayload: number;
  /** Present if both sides accept messages that are not JSON. */
  binary?: true;
  /** The subprotocol that the server has chosen from those that the client offered. */
  subprotocol?: string;
}

/** Heartbeat of a duplex stream. */
export interface Ping {
  /** Number of messages written to the session so far. The client's own count must be the same. */
  sent: number;
  /** Number of messages that the server has received from the client. */
  received: number;
}

/** The end of a session, in a `close` event or in a POST. */
export interface Close {
  /** See `validateClose` in close-code.ts. */
  code: number;
  reason: string;
  /** The client may open a new session after a random part of this many milliseconds. */
  retry?: number;
}

/** The body of a duplex POST. */
export interface Envelope {
  token: string;
  /** Number of the first message, counted from 0 over the whole session. */
  id: number;
  /** Number of messages that the client has received. */
  ack: number;
  messages: unknown[];
  /** Indices of those messages that are binary, in ascending order: they are strings of base64. */
  binary?: number[];
  /** Closes the session after the messages. */
  close?: Close;
}

/** The response to a POST whose messages were all accepted: delivered, or buffered until they can be. */
export interface PostResponse {
  /** Number of messages that the server has received from the client. */
  received: number;
  /** Present in the response to a closing POST. A response without it, to an earlier POST, comes from a cache. */
  closed?: true;
}

/** Machine-readable error code of an error response. */
export type SseErrorCode =
  | 'bad-request'
  | 'forbidden'
  | 'unknown-session'
  | 'method-not-allowed'
  | 'request-timeout'
  | 'session-conflict'
  | 'out-of-window'
  | 'session-closed'
  | 'content-too-large'
  | 'unsupported-media-type'
  | 'service-unavailable';

/** The body of every error response. */
export interface ErrorBody {
  code: SseErrorCode;
  /** Describes the error and its remedy for a developer. */
  message: string;
  /** With `content-too-large`: the limit in bytes. */
  maxPayload?: number;
  /** With `session-closed`: how the session ended. */
  close?: Close;
}

/** Formats a `Last-Event-ID` that identifies a session and says how many messages were received. */
export function formatLastEventId(token: string, received: number): string {
  return `${token}.${received}`;
}

/** Parses a `Last-Event-ID`. Returns undefined if it is not of this package's form. */
export function parseLastEventId(value: string): { token: string; received: number } | undefined {
  const [, token, received] = /^([\w-]{1,64})\.(\d{1,15})$/.exec(value) ?? [];
  if (token === undefined || received === undefined) return undefined;
  return { token, received: Number(received) };
}

/** Whether a value is a count of messages or a message number. */
export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
