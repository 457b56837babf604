import { createHash } from 'node:crypto';
import { channel } from 'node:diagnostics_channel';
import createDebug from 'debug';
import type { SseRequestError } from './request-error';
import type { SseConnection } from './sse-connection';

/** The fields of every message about a connection. */
export interface SseConnectionDiagnostic {
  /** Path of the middleware, as it was given to `createSseMiddleware`. */
  path: string;
  /** The connection that the message is about. */
  connection: SseConnection;
}

/** The messages that are published with `node:diagnostics_channel`, by channel. */
export interface SseDiagnostics {
  /** A session was opened. */
  'sse-duplex:connect': SseConnectionDiagnostic & {
    /** The dialect of the client: `duplex` for this package's client. */
    dialect: 'dart' | 'duplex';
  };
  /** The stream of a session was lost; the session waits for its client. */
  'sse-duplex:disconnect': SseConnectionDiagnostic;
  /** The client of a session has reconnected. */
  'sse-duplex:reconnect': SseConnectionDiagnostic;
  /** In a cluster: another node has taken a session of this node over. */
  'sse-duplex:moved': SseConnectionDiagnostic;
  /** A session exceeded `maxBufferedAmount` and closes with code 1008. */
  'sse-duplex:overflow': SseConnectionDiagnostic & {
    /** `down`: the client is too slow for what is sent. `up`: the application does not read. */
    direction: 'down' | 'up';
    /** Bytes that were buffered. */
    bytes: number;
  };
  /** A session ended. */
  'sse-duplex:close': SseConnectionDiagnostic & {
    /** The close code. */
    code: number;
    /** The close reason, which the client may have chosen. */
    reason: string;
    /** Number of messages that the client did not acknowledge. */
    unacknowledged: number;
  };
  /** In a cluster: a call to the engine has failed. It is repeated until the engine answers. */
  'sse-duplex:engine-lost': {
    /** Path of the middleware, as it was given to `createSseMiddleware`. */
    path: string;
    /** The error of the call. */
    cause: unknown;
  };
  /** In a cluster: the engine answers again. */
  'sse-duplex:engine-back': {
    /** Path of the middleware, as it was given to `createSseMiddleware`. */
    path: string;
  };
  /** A request was rejected. */
  'sse-duplex:client-error': {
    /** Path of the middleware, as it was given to `createSseMiddleware`. */
    path: string;
    /** Why the request was rejected. */
    error: SseRequestError;
  };
}

type Name = keyof SseDiagnostics;

/** For each name, the channel to publish on and the log that `DEBUG` enables. */
const channels = {
  'sse-duplex:connect': openChannel('sse-duplex:connect'),
  'sse-duplex:disconnect': openChannel('sse-duplex:disconnect'),
  'sse-duplex:reconnect': openChannel('sse-duplex:reconnect'),
  'sse-duplex:moved': openChannel('sse-duplex:moved'),
  'sse-duplex:overflow': openChannel('sse-duplex:overflow'),
  'sse-duplex:close': openChannel('sse-duplex:close'),
  'sse-duplex:engine-lost': openChannel('sse-duplex:engine-lost'),
  'sse-duplex:engine-back': openChannel('sse-duplex:engine-back'),
  'sse-duplex:client-error': openChannel('sse-duplex:client-error'),
} satisfies Record<Name, unknown>;

function openChannel(name: Name) {
  return { published: channel(name), log: createDebug(name) };
}

/**
 * Publishes a message, and logs it if `DEBUG=sse-duplex:*` is set. The log contains neither messages
 * nor tokens nor text of a client; session ids are hashed.
 */
export function diagnose<N extends Name>(name: N, message: SseDiagnostics[N]): void {
  const { published, log } = channels[name];
  published.publish(message);
  if (log.enabled) log('%s', describe(message));
}

function describe(message: SseDiagnostics[Name]): string {
  if ('error' in message) {
    const { path, error } = message;
    return formatFields({ path, status: error.status, code: error.code });
  }
  if (!('connection' in message)) return formatFields(message);
  const { path, connection, ...fields } = message;
  return formatFields({ path, session: hash(connection.id), ...fields });
}

function formatFields(fields: object): string {
  return Object.entries(fields)
    .filter(([name]) => name !== 'reason') // may be the client's text
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}

function hash(id: string): string {
  return createHash('sha256').update(id).digest('hex').slice(0, 8);
}
