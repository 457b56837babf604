/**
 * Every name, parameter and payload of PROTOCOL.md, once. `[dart]` marks what Dart's `package:sse`
 * 4.2.0 fixed before us.
 */

/** The duplex dialect's version: the value of {@link PROTOCOL} and {@link PROTOCOL_HEADER}. */
export const PROTOCOL_VERSION = '2';

/** Response header of a GET whose stream speaks the duplex dialect. */
export const PROTOCOL_HEADER = 'Sse-Protocol';

/** Query parameter [dart]: names the session. A label, never a proof. */
export const CLIENT_ID = 'sseClientId';
/** Query parameter [dart]: numbers a POST's message, from 0. */
export const MESSAGE_ID = 'messageId';
/** Query parameter: asks for the duplex dialect. */
export const PROTOCOL = 'sseProtocol';

/** Name of an event on the stream. A message is an event without a name, `control` is Dart's [dart]. */
export type EventName = 'message' | 'hello' | 'ping' | 'close' | 'control';

/** [dart] The data of a `control` event that ends a base-dialect client for good. Raw, not JSON. */
export const CONTROL_CLOSE = 'close';

/**
 * What a POST's body may exceed `maxPayload` by: the envelope round a batch (token, numbers, close
 * code and reason). A batch's messages, a comma each included, sum to at most `maxPayload`.
 */
export const ENVELOPE_ALLOWANCE = 1024;

/** First event of a duplex stream. */
export interface Hello {
  /** Proves the session: 126 random bits. Never in a URL. */
  token: string;
  /** The stream continues the session that the request proved. */
  resumed: boolean;
  /** Messages the server sent before the first one that follows on this stream. */
  sent: number;
  /** Messages the server has taken from the client. */
  received: number;
  /** Milliseconds between two pings: 2.5 times that without a byte, and the stream is dead. */
  heartbeat: number;
  /** When the client owes an acknowledgement. */
  ackAfter: {
    messages: number;
    bytes: number;
    /** Milliseconds without a POST after which the client posts a sign of life. */
    idle: number;
  };
  /** Largest message, and largest sum of a batch, in bytes of JSON. */
  maxPayload: number;
}

/** Heartbeat of a duplex stream. */
export interface Ping {
  /** Messages written to the session so far: the client's own count must be the same. */
  sent: number;
  /** Messages the server has taken from the client. */
  received: number;
}

/** The end of a session, in an event or in a POST. */
export interface Close {
  /** As WebSocket's: RFC 6455 §7.4.1; 3000 to 4999 are the application's. */
  code: number;
  reason: string;
  /** Milliseconds: the client may come back, in a new session, after a random part of this. */
  retry?: number;
}

/** The body of a duplex POST. */
export interface Envelope {
  token: string;
  /** Number of the first message, counted from 0 over the session. */
  id: number;
  /** Messages the client has received. */
  ack: number;
  messages: unknown[];
  /** Ends the session after the messages. */
  close?: Close;
}

/** The answer to a duplex POST: all its messages are taken, or held until those before them come. */
export interface Receipt {
  received: number;
}

/** The machine-readable word of a refusal. */
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

/** The body of every refusal. */
export interface Fault {
  code: SseErrorCode;
  /** What is wrong and what to do, for the developer. */
  message: string;
  /** With `too-large`: the bound in bytes. */
  maxPayload?: number;
  /** With `closed`: how the session ended. */
  close?: Close;
}

/** Close codes this package sends of itself: RFC 6455 §7.4.1 and the IANA registry it opened. */
export const CloseCode = {
  normal: 1000,
  /** The page was left, or the server is stopping. */
  goingAway: 1001,
  protocolError: 1002,
  /** Never on the wire: the peer went without a word. */
  abnormal: 1006,
  /** A bound that the application set was passed. */
  policyViolation: 1008,
  /** The server restarts: come back elsewhere. */
  serviceRestart: 1012,
} as const;

/**
 * The rule for a code and a reason that an application closes with: RFC 6455 §7.4, without the codes
 * that no endpoint may send (1004, 1005, 1006, 1015), and a reason of at most 123 bytes of UTF-8.
 * Returns what is wrong, or undefined.
 */
export function validateClose(code: unknown, reason: unknown): string | undefined {
  const isCode =
    Number.isInteger(code) &&
    (((code as number) >= 1000 && (code as number) <= 1014 && !UNSENDABLE.has(code as number)) ||
      ((code as number) >= 3000 && (code as number) <= 4999));
  if (!isCode) {
    return `close code ${String(code)} is not one to send: use 1000, or 3000 to 4999 for your own`;
  }
  if (typeof reason !== 'string' || new TextEncoder().encode(reason).length > 123) {
    return 'a close reason is a string of at most 123 bytes';
  }
  return undefined;
}
const UNSENDABLE = new Set([1004, 1005, 1006]);

/** The proof of a session and of what was received in it, as the `Last-Event-ID` header carries it. */
export const formatLastEventId = (token: string, received: number): string =>
  `${token}.${received}`;

/** Undefined where `value` is not a proof. */
export function parseLastEventId(value: string): { token: string; received: number } | undefined {
  const match = /^([\w-]{1,64})\.(\d{1,15})$/.exec(value);
  return match ? { token: match[1] as string, received: Number(match[2]) } : undefined;
}
