import { parseFields, readClose } from '../protocol/parse';
import { CLIENT_ID } from '../protocol/wire';
import type { Close } from '../protocol/wire';
import { checkOptions } from './options';
import type { SseClientOptions } from './options';

/** The fields of `RequestInit` that a client uses. */
export interface ClientRequestInit {
  method?: 'POST';
  body?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  keepalive?: boolean;
}

/**
 * Sends a request of a session to the middleware. Rejects if the network fails or the signal is
 * aborted.
 *
 * @param parameters query parameters besides the session id.
 */
export type SendRequest = (
  sessionId: string,
  init: ClientRequestInit,
  ...parameters: [name: string, value: string][]
) => Promise<Response>;

/**
 * Creates the function that sends a client's requests to `url`, with the client's options.
 *
 * @throws TypeError if there is no `fetch`, or an option is invalid.
 * @throws RangeError if an option is out of range.
 */
export function createSendRequest(url: string, options: SseClientOptions): SendRequest {
  checkOptions(options);
  const { fetch = globalThis.fetch } = options;
  if (typeof fetch !== 'function') {
    throw new TypeError('there is no global fetch here: pass one as the option "fetch"');
  }
  return async (sessionId, init, ...parameters) => {
    const { headers, credentials } = options;
    const target = new URL(url);
    target.searchParams.set(CLIENT_ID, sessionId);
    for (const [name, value] of parameters) target.searchParams.set(name, value);
    const allHeaders = new Headers(
      typeof headers === 'function'
        ? await Promise.race([headers(), rejectOnAbort(init.signal)])
        : headers,
    );
    for (const [name, value] of Object.entries(init.headers ?? {})) allHeaders.set(name, value);
    return fetch(target.href, {
      ...init,
      credentials,
      // A plain object, which the application's own `fetch` may spread.
      headers: Object.fromEntries(allHeaders),
      // A redirect could send the token, messages and headers to another origin, and make a POST a GET.
      redirect: 'manual',
    });
  };
}

/** Rejects when the signal is aborted, so that a promise of the application cannot hold up a request. */
function rejectOnAbort(signal?: AbortSignal): Promise<never> {
  return new Promise((_, reject) =>
    signal?.addEventListener('abort', () => reject(signal.reason as Error)),
  );
}

/** Creates a random session id. */
export function createSessionId(debugKey = 'sse'): string {
  return `${debugKey}-${crypto.getRandomValues(new Uint32Array(3)).join('-')}`;
}

/** Describes an exception of `fetch`. In Node, its cause is more precise than its message. */
export function describeError(error: unknown): string {
  const { cause } = Object(error) as { cause?: { message?: string; code?: string } };
  return String(error) + (cause ? `: ${cause.message || cause.code}` : '');
}

/** An error response of the server, or an unexpected response of something else, such as a proxy. */
export interface ErrorResponse {
  /** An `SseErrorCode` if the response is one of this package's server. */
  code: unknown;
  /** The cause and the remedy, for an error text. */
  reason: string;
  /** The code and reason of the close. Defined if the code is `session-closed`. */
  close: Close | undefined;
  /** The header `Retry-After`, in milliseconds; 0 if there is none. */
  retryAfter: number;
}

/** What to check after a response of something else with one of these statuses. */
const CHECKS: Record<number, string> = { 413: 'body size limits', 429: 'rate limits' };

/** Reads an error response or an unexpected one. `text` is its body. */
export function readErrorResponse({ status, headers }: Response, text: string): ErrorResponse {
  const { code, message, close } = parseFields(text);
  const checks = CHECKS[status] ?? 'URL, login and proxy';
  return {
    code,
    reason:
      code && typeof message === 'string'
        ? message
        : `HTTP ${status || 'redirect'}, not from sse-duplex: check ${checks}`,
    close: readClose(close),
    retryAfter: Number(headers.get('Retry-After')) * 1000 || 0, // a date is ignored
  };
}
