/** Options of `SseClient`. */
export interface SseClientOptions {
  /**
   * Headers of every request. The object is read for each request: to replace an access token, change
   * it here. On a cross-origin URL, headers of your own cause a CORS preflight.
   * @default no headers
   */
  headers?: Record<string, string>;
  /**
   * Whether requests carry cookies, as for `fetch`. Use `'include'` for cookies on another origin.
   * @default 'same-origin'
   */
  credentials?: RequestCredentials;
  /**
   * The function that sends the requests. It must reject when the network fails, and when
   * `init.signal` is aborted.
   * @default the global `fetch`
   */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /**
   * Prefix of the session id, which tells clients apart in logs. At most 200 characters, no control
   * characters.
   * @default 'sse'
   */
  debugKey?: string;
  /**
   * Whether the client opens a new session when the server has lost the old one. If false, the client
   * closes instead, with code 1006.
   * @default true
   */
  renewSession?: boolean;
  /**
   * Returns how many milliseconds to wait before a failed request is repeated. `attempt` is the number
   * of failures in a row before this one, from 0. A longer `Retry-After` of the server takes
   * precedence. Longest wait: 2,147,483,647 ms.
   * @default a random part of 500 ms × 2^attempt, of 10,000 ms at most
   */
  backoff?: (attempt: number) => number;
}

/** The default of `backoff`: exponential back-off with full jitter. */
export function defaultBackoff(attempt: number): number {
  return Math.random() * Math.min(10_000, 500 * 2 ** attempt);
}
