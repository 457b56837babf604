import { createHash } from 'node:crypto';
import { channel } from 'node:diagnostics_channel';
import createDebug from 'debug';
import type { SseRequestError } from './request-error';
import type { SseConnection } from './sse-connection';

/** What each message about a connection has. */
export interface SseConnectionDiagnostic {
  /** Of the middleware, as it was given. */
  path: string;
  connection: SseConnection;
}

/** The messages on `node:diagnostics_channel`, by channel. */
export interface SseDiagnostics {
  /** A session was opened. */
  'sse-duplex:connect': SseConnectionDiagnostic & { dialect: 'dart' | 'duplex' };
  /** A session's stream was lost; it waits for its client. */
  'sse-duplex:disconnect': SseConnectionDiagnostic;
  /** A session's client is back. */
  'sse-duplex:reconnect': SseConnectionDiagnostic;
  /** More waits than `maxBufferedAmount` allows; `close` follows, with code 1008. */
  'sse-duplex:overflow': SseConnectionDiagnostic & {
    /** `down`: the client does not keep up with what is sent. `up`: the application does not read. */
    direction: 'down' | 'up';
    bytes: number;
  };
  /** A session ended. */
  'sse-duplex:close': SseConnectionDiagnostic & {
    code: number;
    reason: string;
    /** Messages that the client never confirmed. */
    unacknowledged: number;
  };
  /** A request was refused. */
  'sse-duplex:client-error': { path: string; error: SseRequestError };
}

type Name = keyof SseDiagnostics;

/**
 * Publishes what happened, and logs it where `DEBUG=sse-duplex:*` asks for it. The log has no message,
 * no token and no text of a peer's; of a session's name it has a hash.
 */
export function diagnose<N extends Name>(name: N, message: SseDiagnostics[N]): void {
  const { published, log } = outlets[name];
  published.publish(message);
  if (log.enabled) log('%s', describe(message));
}

const outlets = {
  'sse-duplex:connect': outlet('sse-duplex:connect'),
  'sse-duplex:disconnect': outlet('sse-duplex:disconnect'),
  'sse-duplex:reconnect': outlet('sse-duplex:reconnect'),
  'sse-duplex:overflow': outlet('sse-duplex:overflow'),
  'sse-duplex:close': outlet('sse-duplex:close'),
  'sse-duplex:client-error': outlet('sse-duplex:client-error'),
} satisfies Record<Name, unknown>;

function outlet(name: Name) {
  return { published: channel(name), log: createDebug(name) };
}

function describe(message: SseDiagnostics[Name]): string {
  if ('error' in message) {
    const { path, error } = message;
    return write({ path, status: error.status, error: error.code });
  }
  const { path, connection, ...facts } = message;
  return write({ path, session: hash(connection.id), ...facts });
}

function write(facts: object): string {
  return Object.entries(facts)
    .filter(([name]) => name !== 'reason') // it may be the peer's
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}

function hash(id: string): string {
  return createHash('sha256').update(id).digest('hex').slice(0, 8);
}
