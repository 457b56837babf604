/** Options of {@link SseClient}. */
export interface SseClientOptions {
  /**
   * Headers of every request. Read anew for each: to renewSession a token, change it here. Across origins
   * they cost a CORS preflight.
   */
  headers?: Record<string, string>;
  /** Whether cookies are sent, as `fetch` has it: `'include'` for another origin. @default 'same-origin' */
  credentials?: RequestCredentials;
  /** What makes the requests. @default the global `fetch` */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** Goes before the session's name, to tell clients apart in logs, as Dart's `debugKey`. */
  debugKey?: string;
  /** Whether to go on in a new session when the server has lost the old one. @default true */
  renewSession?: boolean;
  /**
   * Milliseconds to wait after a failed attempt, counted from 0.
   * @default a random part of 0.5 s, doubled each time up to 10 s
   */
  backoff?: (attempt: number) => number;
}
