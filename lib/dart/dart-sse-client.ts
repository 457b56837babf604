import { ClientBase } from '../client/client-base';
import { createSendRequest } from '../client/http';
import type { SseClientOptions } from '../client/options';
import { openDartSession } from './dart-session';

/** Options of {@link DartSseClient}: those of `SseClient`, but `renewSession` and `transport`. */
export type DartSseClientOptions = Omit<SseClientOptions, 'renewSession' | 'transport'>;

/**
 * The client of a server that uses Dart's `package:sse`, with the interface of `SseClient`.
 *
 * It does what Dart's own client does, and guarantees as much. Each message is sent once, in a POST of
 * its own, and the client closes when a POST fails: that server would deliver a repeated message twice.
 * Messages that the server sends while the event stream is lost may be lost. The server is not told
 * when the client closes. There is no `sessionlost` event.
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
   * @throws TypeError if the URL is invalid.
   */
  constructor(url: string | URL, options: DartSseClientOptions = {}) {
    super(url, (absoluteUrl, host) =>
      openDartSession(createSendRequest(absoluteUrl, options), options, host),
    );
  }
}
