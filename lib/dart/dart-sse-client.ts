import { ClientBase } from '../client/client-base';
import { createSendRequest } from '../client/http';
import type { SseClientOptions } from '../client/options';
import { openDartSession } from './dart-session';

/** Options of {@link DartSseClient}: those of `SseClient` except `renewSession` and `transport`. */
export type DartSseClientOptions = Omit<SseClientOptions, 'renewSession' | 'transport'>;

/**
 * The client of a server that uses Dart's `package:sse`, with the interface of `SseClient`.
 *
 * It gives only the guarantees of Dart's own client. Each message is sent once, in a POST of its own. The
 * client closes when a POST fails, because that server would deliver a repeated message twice. Messages
 * that the server sends while the event stream is lost may be lost. The client does not notify the server
 * when it closes. There is no `sessionlost` event.
 *
 * @typeParam Incoming the messages of the server. The type is not checked at run time.
 * @typeParam Outgoing the messages to the server: strings, since that server accepts nothing else.
 */
export class DartSseClient<Incoming = unknown, Outgoing = unknown> extends ClientBase<
  Incoming,
  Outgoing
> {
  /**
   * @param url the URL of the server's handler; on a page or in a worker, it may be relative.
   * @throws TypeError if the URL or an option is invalid, or if there is no `fetch`.
   * @throws RangeError if `maxBufferedAmount` is less than 1.
   */
  constructor(url: string | URL, options: DartSseClientOptions = {}) {
    super(url, (absoluteUrl, host) =>
      openDartSession(createSendRequest(absoluteUrl, options), options, host),
    );
  }
}
