import { encodeEvent } from '../protocol/event-stream';
import {
  CONTROL_CLOSE,
  PROTOCOL_HEADER,
  PROTOCOL_VERSION,
  formatLastEventId,
} from '../protocol/wire';
import type { Close, Hello, Ping } from '../protocol/wire';

/** Where the two dialects differ on the stream: PROTOCOL.md, "Two dialects". */
export interface Dialect {
  readonly name: 'dart' | 'duplex';
  /** Response headers of the stream. */
  readonly headers: Record<string, string>;
  /** Whether the client confirms messages. One that does not is held to have what was written. */
  readonly confirms: boolean;
  /** The bytes that a stream begins with. */
  opening(hello: Hello): string;
  /** What goes before the `number`th message's frame, which is the same for every connection. */
  messagePrefix?: (token: string, number: number) => string;
  ping(ping: Ping): string;
  close(close: Close): string;
}

/**
 * How soon a client's browser asks again: Firefox's own 5 s is too late for Dart's client, which gives
 * up 5 s after the stream was lost [dart].
 */
const RETRY = 'retry: 1000\n';

/** Dart's `package:sse`, and any `EventSource`. */
export const dartDialect: Dialect = {
  name: 'dart',
  headers: {},
  confirms: false,
  // An event of an id only sets the browser's Last-Event-ID and dispatches nothing: the client can
  // prove its session before the first message.
  opening: ({ token, sent }) => `${RETRY}id: ${formatLastEventId(token, sent)}\n\n`,
  messagePrefix: (token, number) => `id: ${formatLastEventId(token, number + 1)}\n`,
  ping: () => ':\n\n',
  // `retry` says how soon the browser is to ask again. Dart's client takes `control` as the end.
  close: ({ retry }) =>
    retry === undefined
      ? encodeEvent(CONTROL_CLOSE, { event: 'control' })
      : `retry: ${Math.ceil(Math.random() * retry)}\n\n`,
};

/** This package's client. */
export const duplexDialect: Dialect = {
  name: 'duplex',
  headers: { [PROTOCOL_HEADER]: PROTOCOL_VERSION },
  confirms: true,
  opening: (hello) => RETRY + encodeEvent(JSON.stringify(hello), { event: 'hello' }),
  ping: (ping) => encodeEvent(JSON.stringify(ping), { event: 'ping' }),
  close: (close) => encodeEvent(JSON.stringify(close), { event: 'close' }),
};
