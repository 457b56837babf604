import type { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import type { SseErrorCode } from '../protocol/wire';
import type { SseRequestError } from './request-error';

/**
 * Recognises typical mistakes of an application, and says how to correct them: with an exception if a call is wrong,
 * otherwise with one process warning.
 */

const EVENTS = ['connection', 'clientError'];

/**
 * Rejections that the application, or a proxy in front of it, usually causes. Others are part of normal operation, such
 * as `service-unavailable` while the server stops; they are reported only if they have a `cause`, such as an exception.
 */
const REPORTED_CODES: readonly SseErrorCode[] = [
  'bad-request',
  'forbidden',
  'method-not-allowed',
  'content-too-large',
  'unsupported-media-type',
];

/** @throws TypeError if a middleware does not emit the event. */
export function checkEvent(event: unknown): void {
  if (EVENTS.includes(event as string)) return;
  throw new TypeError(`unknown event "${String(event)}": the events are ${EVENTS.join(' and ')}`);
}

/** @throws TypeError if the argument of `attach` is not a server, for example if it is the Express application. */
export function checkServer(server: unknown): void {
  const { emit, listen } = Object(server) as { emit?: unknown; listen?: unknown };
  const isServer = typeof emit === 'function' && typeof listen === 'function';
  if (isServer && typeof server !== 'function') return;
  throw new TypeError(
    'attach() needs a server, not an application: pass the result of http.createServer(app), or of app.listen()',
  );
}

/** Emits process warnings, each once for a middleware. */
export class Warnings {
  readonly #path: string;
  readonly #isEnabled: boolean;
  readonly #emitted = new Set<string>();

  constructor(path: string, isEnabled: boolean) {
    this.#path = path;
    this.#isEnabled = isEnabled;
  }

  /** A request was rejected. No warning is emitted if the application listens for `clientError`. */
  onRejected({ code, status, message, cause }: SseRequestError, emitter: EventEmitter): void {
    const isReported = cause !== undefined || REPORTED_CODES.includes(code);
    if (!isReported || emitter.listenerCount('clientError') > 0) return;
    const because = cause === undefined ? '' : ` (${describe(cause)})`;
    this.#warn(
      code,
      `a request to ${this.#path} was rejected with ${status} ${code}: ${message}${because}. Further ones with this ` +
        'code are not shown: to see all, listen for "clientError" of the middleware, or set DEBUG=sse-duplex:*',
    );
  }

  /**
   * A request was passed to `next`. Emits a warning if it is a client's, and the middleware is mounted below a path.
   *
   * @param url without the path that the middleware is mounted at, which Express removes.
   * @param originalUrl with that path.
   */
  onPassed(url: string, originalUrl: string | undefined): void {
    if (originalUrl === undefined || originalUrl === url || !url.includes('sseClientId=')) return;
    const mounted = originalUrl.slice(0, originalUrl.length - url.replace(/^\//, '').length);
    this.#warn(
      'mount',
      `a client requests ${originalUrl.split('?')[0]}, but createSseMiddleware('${this.#path}') was mounted below ` +
        `${mounted}: the path is relative to where it is mounted. Use app.use(sse)`,
    );
  }

  /** Other code has responded to a request that the channel was about to respond to. */
  onAnswered(): void {
    this.#warn(
      'answered',
      `a request to ${this.#path} was answered by other code than the channel: do not send a response after the ` +
        'channel was called. In Koa set ctx.respond = false, in Fastify call reply.hijack(): see docs/frameworks.md',
    );
  }

  #warn(kind: string, text: string): void {
    if (!this.#isEnabled || this.#emitted.has(kind)) return;
    this.#emitted.add(kind);
    process.emitWarning(text, 'SseDuplexWarning');
  }
}

function describe(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : inspect(cause);
}
