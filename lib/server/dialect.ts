import { EMPTY_COMMENT, encodeEvent, encodeFields } from '../protocol/event-stream';
import {
  CONTROL_CLOSE,
  EventName,
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
const RETRY = 1000;

/** Dart's `package:sse`, and any `EventSource`. */
export const dartDialect: Dialect = {
  name: 'dart',
  headers: {},
  confirms: false,
  // An event of an id only sets the browser's Last-Event-ID and dispatches nothing: the client can
  // prove its session before the first message.
  opening: ({ token, sent }) => encodeEvent({ retry: RETRY, id: formatLastEventId(token, sent) }),
  messagePrefix: (token, number) => encodeFields({ id: formatLastEventId(token, number + 1) }),
  ping: () => EMPTY_COMMENT,
  // `retry` says how soon the browser is to ask again. Dart's client takes `control` as the end.
  close: ({ retry }) =>
    retry === undefined
      ? encodeEvent({ event: EventName.control, data: CONTROL_CLOSE })
      : encodeEvent({ retry: Math.ceil(Math.random() * retry) }),
};

/** This package's client. */
export const duplexDialect: Dialect = {
  name: 'duplex',
  headers: { [PROTOCOL_HEADER]: PROTOCOL_VERSION },
  confirms: true,
  opening: (hello) =>
    encodeEvent({ retry: RETRY, event: EventName.hello, data: JSON.stringify(hello) }),
  ping: (ping) => encodeEvent({ event: EventName.ping, data: JSON.stringify(ping) }),
  close: (close) => encodeEvent({ event: EventName.close, data: JSON.stringify(close) }),
};
