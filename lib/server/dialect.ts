import { EMPTY_COMMENT, encodeEvent, encodeFields } from '../protocol/event-stream';
import {
  CONTROL_CLOSE,
  EventName,
  PROTOCOL_HEADER,
  PROTOCOL_VERSION,
  formatLastEventId,
} from '../protocol/wire';
import type { Close, Hello, Ping } from '../protocol/wire';

/** What differs between the two dialects on the stream: PROTOCOL.md, "Two dialects". */
export interface Dialect {
  readonly name: 'dart' | 'duplex';
  /** Additional response headers of the stream. */
  readonly headers: Record<string, string>;
  /** Whether the client acknowledges messages. If not, a written message counts as acknowledged. */
  readonly acknowledges: boolean;
  /** Encodes the beginning of a stream. */
  handshake(hello: Hello): string;
  /** Encodes what precedes the event of a message; the event is the same for every connection. */
  messagePrefix?: (token: string, number: number) => string;
  ping(ping: Ping): string;
  close(close: Close): string;
}

/**
 * Reconnection delay of an `EventSource`, in milliseconds. Firefox's default of 5 s is too long for
 * Dart's client, which gives up 5 s after it lost the stream [dart].
 */
const RETRY = 1000;

/** The dialect of Dart's `package:sse` and of any `EventSource`. */
export const dartDialect: Dialect = {
  name: 'dart',
  headers: {},
  acknowledges: false,
  // Sets the Last-Event-ID of the browser, so that the client can resume a session in which no message
  // was sent yet. Firefox and WebKit ignore the id of an event without data; Dart's client ignores the name.
  handshake: ({ token, sent }) =>
    encodeEvent({
      retry: RETRY,
      id: formatLastEventId(token, sent),
      event: EventName.hello,
      data: '',
    }),
  messagePrefix: (token, number) => encodeFields({ id: formatLastEventId(token, number + 1) }),
  ping: () => EMPTY_COMMENT,
  // With `retry` the browser reconnects after a random delay. Dart's client closes at `control`.
  close: ({ retry }) =>
    retry === undefined
      ? encodeEvent({ event: EventName.control, data: CONTROL_CLOSE })
      : encodeEvent({ retry: Math.ceil(Math.random() * retry) }),
};

/** The dialect of this package's client. */
export const duplexDialect: Dialect = {
  name: 'duplex',
  headers: { [PROTOCOL_HEADER]: PROTOCOL_VERSION },
  acknowledges: true,
  handshake: (hello) =>
    encodeEvent({ retry: RETRY, event: EventName.hello, data: JSON.stringify(hello) }),
  ping: (ping) => encodeEvent({ event: EventName.ping, data: JSON.stringify(ping) }),
  close: (close) => encodeEvent({ event: EventName.close, data: JSON.stringify(close) }),
};

/** Both dialects, by name. */
export const dialects = { dart: dartDialect, duplex: duplexDialect };
