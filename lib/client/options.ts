import type { Dispatch } from './events';

/** Headers of a request, in the forms that `fetch` accepts. */
export type RequestHeaders = Record<string, string> | [name: string, value: string][] | Headers;

/**
 * How a client receives messages: `stream` is one response that stays open; `poll` is a complete response
 * for each group of messages, which also passes a proxy that holds responses back until they are complete.
 */
export type Transport = 'stream' | 'poll';

/** Options of `SseClient`. */
export interface SseClientOptions {
  /**
   * Headers of every request. For each request, the value is read again, or the function is called, so
   * that an access token can be replaced. If the function throws or rejects, or takes longer than a request may,
   * the request fails and is repeated. On a cross-origin URL, these headers cause a CORS preflight.
   * @default no headers
   */
  headers?: RequestHeaders | (() => RequestHeaders | Promise<RequestHeaders>);
  /**
   * Whether requests carry cookies, as for `fetch`. Use `'include'` for cookies on another origin.
   * @default 'same-origin'
   */
  credentials?: 'omit' | 'same-origin' | 'include';
  /**
   * The function that sends the requests. It must reject when the network fails, and when
   * `init.signal` is aborted, and resolve with a `Response` whose body is a `ReadableStream`.
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
   * Largest size of the messages that the server has not acknowledged, in bytes of JSON. `send` throws
   * a RangeError for a message that would exceed it. Range: 1 to Infinity bytes.
   * @default 16_777_216
   */
  maxBufferedAmount?: number;
  /**
   * How the client receives messages. With `auto`, it streams, and polls if a stream has no event within
   * 3 s although a poll is answered. On a page, `sessionStorage` keeps the choice of polls: the next page
   * of the tab starts with a poll, and then tries a stream again.
   * @default 'auto'
   */
  transport?: Transport | 'auto';
  /**
   * Whether the client opens a new session when the server has lost the old one. If false, the client
   * closes instead, with code 1006.
   * @default true
   */
  renewSession?: boolean;
  /**
   * Returns how many milliseconds to wait before a failed request is repeated. `attempt` is the number
   * of failures in a row before this one, from 0. A longer `Retry-After` of the server takes
   * precedence. Longest wait: 2,147,483,647 ms. If it throws or returns no number, the client emits `error`
   * and uses the default.
   * @default a random time from 0 to 500 ms × 2^attempt, or from 0 to 10,000 ms if that is less
   */
  backoff?: (attempt: number) => number;
}

/** The types that the value of each option may have. */
const TYPES: Record<keyof SseClientOptions, string> = {
  headers: 'object or function',
  credentials: 'string',
  fetch: 'function',
  debugKey: 'string',
  maxBufferedAmount: 'number',
  transport: 'string',
  renewSession: 'boolean',
  backoff: 'function',
};

/**
 * Checks options when the client is created, because many of them are used only after a failure.
 *
 * @throws TypeError for an unknown name, a value of the wrong type or an unknown transport.
 * @throws RangeError if `maxBufferedAmount` is less than 1.
 */
export function checkOptions(options: object): void {
  for (const [name, value] of Object.entries(options) as [keyof SseClientOptions, unknown][]) {
    const types = TYPES[name] as string | undefined;
    if (!types) {
      throw new TypeError(
        `unknown option "${name}": the options are ${Object.keys(TYPES).join(', ')}`,
      );
    }
    if (value !== undefined && !types.includes(typeof value)) {
      throw new TypeError(`option "${name}" must be of type ${types}, not ${typeof value}`);
    }
  }
  const { transport = 'auto', maxBufferedAmount = 1 }: SseClientOptions = options;
  if (!['auto', 'stream', 'poll'].includes(transport)) {
    throw new TypeError(`option "transport" must be auto, stream or poll, not ${transport}`);
  }
  if (!(maxBufferedAmount >= 1)) {
    throw new RangeError(`option "maxBufferedAmount" must be at least 1, not ${maxBufferedAmount}`);
  }
}

/** Returns the function of the option `backoff`. If it fails, that is reported, and the default is used. */
export function createBackoff(
  { backoff = defaultBackoff }: SseClientOptions,
  dispatch: Dispatch,
): (attempt: number) => number {
  return (attempt) => {
    try {
      const milliseconds = backoff(attempt);
      if (milliseconds >= 0) return milliseconds;
      throw new RangeError(`option "backoff" must return a number, not ${milliseconds}`);
    } catch (error) {
      dispatch('error', { message: String(error) });
      return defaultBackoff(attempt);
    }
  };
}

/** The default of `backoff`: exponential back-off with full jitter. */
export function defaultBackoff(attempt: number): number {
  return Math.random() * Math.min(10_000, 500 * 2 ** attempt);
}

/** The default of `maxBufferedAmount`. */
export const DEFAULT_MAX_BUFFERED_AMOUNT = 16_777_216;
