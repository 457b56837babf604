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
 * @param parameters other query parameters than the session id: their names and values.
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
    const allHeaders = new Headers(typeof headers === 'function' ? await headers() : headers);
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

/** Creates a session id that no other client has. */
export function createSessionId(debugKey = 'sse'): string {
  return `${debugKey}-${crypto.getRandomValues(new Uint32Array(3)).join('-')}`;
}

/** Describes an exception of `fetch`, whose cause is the more precise part in Node. */
export function describeError(error: unknown): string {
  const { cause } = Object(error) as { cause?: { message?: string; code?: string } };
  return String(error) + (cause ? `: ${cause.message || cause.code}` : '');
}

/** A response that is not the one that was asked for. */
export interface ErrorResponse {
  /** The code of this package's server, or anything. */
  code: unknown;
  /** The cause and the remedy, for an error text. */
  reason: string;
  /** How the session ended: defined with the code `session-closed`. */
  close: Close | undefined;
  /** How many milliseconds the server asks to wait, in the header `Retry-After`; else 0. */
  retryAfter: number;
}

/** Reads a response that is not the one that was asked for; `text` is its body. */
export function readErrorResponse({ status, headers }: Response, text: string): ErrorResponse {
  const { code, message, close } = parseFields(text);
  return {
    code,
    reason:
      code && typeof message === 'string'
        ? message
        : `HTTP ${status || 'redirect'}, not from sse-duplex: check URL, login and proxy`,
    close: readClose(close),
    retryAfter: Number(headers.get('Retry-After')) * 1000 || 0, // a date is ignored
  };
}
