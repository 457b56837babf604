import { ClientBase } from './client-base';
import { createSendRequest } from './http';
import type { SseClientOptions } from './options';
import { openSession } from './session';
import { createTransport } from './transport';
import type { TransportChoice } from './transport';

/**
 * The client of a `createSseMiddleware` server, with the interface of a WebSocket, over plain HTTP.
 *
 * It connects when it is created. When the event stream is lost, it reconnects, as often as necessary:
 * every message arrives exactly once and in order, as long as the session exists on the server.
 *
 * @typeParam Incoming the messages of the server. The type is not checked at run time.
 * @typeParam Outgoing the messages to the server.
 */
export class SseClient<Incoming = unknown, Outgoing = unknown> extends ClientBase<
  Incoming,
  Outgoing
> {
  /**
   * @param url the URL of the middleware; on a page or in a worker, it may be relative.
   * @throws TypeError if the URL or an option is invalid, or if there is no `fetch`.
   * @throws RangeError if `maxBufferedAmount` is less than 1.
   */
  constructor(url: string | URL, options: SseClientOptions = {}) {
    let transport: TransportChoice | undefined;
    super(url, (absoluteUrl, host, minDelay) => {
      const request = createSendRequest(absoluteUrl, options);
      transport ??= createTransport(absoluteUrl, host.dispatch, options.transport);
      return openSession(request, transport, options, host, minDelay);
    });
  }
}
