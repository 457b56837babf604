import type { IncomingMessage, ServerResponse } from 'node:http';
import { PROTOCOL_HEADER } from '../protocol/wire';
import { Deadline } from './deadline';
import { hostOf } from './node-http';
import type { ResolvedOptions } from './options';
import { SseRequestError, cannotAuthorizeNow } from './request-error';

/** Timeout of `authorize` in milliseconds: shorter than the 10 s after which a client gives up. */
const AUTHORIZE_TIMEOUT = 5_000;

/** A list of header names, as in `Access-Control-Request-Headers`. */
const HEADER_NAMES = /^[\w-]+(?:\s*,\s*[\w-]+)*$/;

/** Decides who may use the path: by host, by origin, and by `authorize`. */
export class RequestPolicy {
  readonly #options: ResolvedOptions;

  constructor(options: ResolvedOptions) {
    this.#options = options;
  }

  /**
   * Checks the host and the origin of a request before its body is read, and adds the CORS headers
   * that let a page of an allowed origin read the response.
   *
   * @throws SseRequestError if the host or the origin is not allowed.
   */
  checkOrigin(request: IncomingMessage, response: ServerResponse): void {
    const { headers } = request;
    const host = hostOf(request);
    const { allowedHosts } = this.#options;
    if (allowedHosts && !allowedHosts.has(host.toLowerCase())) {
      throw new SseRequestError(
        'forbidden',
        `host ${JSON.stringify(host)} is not allowed: if it should be, add it to the option "allowedHosts"`,
      );
    }

    const { origin } = headers;
    const site = headers['sec-fetch-site'];
    // Set by the browser itself; no page can change it [Fetch Metadata §2.3].
    if (site === 'same-origin' || site === 'none') return;
    if (origin === undefined) {
      // Not a browser, or a browser without Fetch Metadata that sends a same-origin GET.
      if (site === undefined) return;
      throw new SseRequestError('forbidden', `a ${site} request without an Origin is not allowed`);
    }
    if (site === undefined && isSameHost(origin, host)) return;
    if (origin === 'null') {
      throw new SseRequestError(
        'forbidden',
        'origin "null" is never allowed: it is that of sandboxed frames and files, serve the page over HTTP',
      );
    }
    if (!this.#isAllowedOrigin(origin)) {
      throw new SseRequestError(
        'forbidden',
        `origin ${JSON.stringify(origin)} is not allowed on host ${JSON.stringify(host)}: add it to the ` +
          `option "allowedOrigins", or, behind a proxy, configure the proxy to pass the Host header ` +
          `(nginx: proxy_set_header Host $http_host)`,
      );
    }
    // Responses are `no-store`; `Vary` guards against a cache that ignores it.
    const vary = response.getHeader('Vary');
    response.setHeader('Vary', vary === undefined ? 'Origin' : `${String(vary)}, Origin`);
    response.setHeader('Access-Control-Allow-Origin', origin);
    response.setHeader('Access-Control-Allow-Credentials', 'true');
    response.setHeader('Access-Control-Expose-Headers', `${PROTOCOL_HEADER}, Retry-After`);
  }

  /** @throws SseRequestError if the application's function throws. */
  #isAllowedOrigin(origin: string): boolean {
    try {
      return this.#options.isAllowedOrigin(origin);
    } catch (cause) {
      throw new SseRequestError('forbidden', `origin ${JSON.stringify(origin)} is not allowed`, {
        cause,
      });
    }
  }

  /** Whether there is no `authorize` option, so that no request has to wait for it. */
  get allowsAnyone(): boolean {
    return this.#options.authorize === undefined;
  }

  /**
   * Calls the application's `authorize`. Only `true` and a string authorize the request. Every other value, an
   * exception, a rejected promise and a timeout reject it. After a timeout, and after an exception with a status of 500
   * or more, the client repeats the request.
   *
   * @returns the principal, if the application returned a string.
   * @throws SseRequestError if the request is not authorized.
   */
  async authorize(request: IncomingMessage): Promise<string | undefined> {
    const { authorize } = this.#options;
    let result: unknown;
    try {
      result = authorize === undefined || (await withTimeout(authorize(request)));
    } catch (cause) {
      if (isServerError(cause)) throw cannotAuthorizeNow(cause);
      throw new SseRequestError('forbidden', 'not authorized', { cause });
    }
    if (typeof result === 'string') return result;
    if (result === true) return undefined;
    const cause =
      result === false
        ? undefined
        : new TypeError(`authorize must return a boolean or a string, not ${typeof result}`);
    throw new SseRequestError('forbidden', 'not authorized', { cause });
  }

  /** Answers a CORS preflight of an origin that {@link checkOrigin} has allowed. */
  answerPreflight(request: IncomingMessage, response: ServerResponse): void {
    const requested = request.headers['access-control-request-headers'] ?? '';
    response.writeHead(204, {
      'Access-Control-Allow-Methods': 'GET, POST',
      // An allowed origin may send any header, such as one that `authorize` reads.
      'Access-Control-Allow-Headers': HEADER_NAMES.test(requested) ? requested : '',
      'Access-Control-Max-Age': '7200', // Chromium's limit
      'Cache-Control': 'no-store',
    });
    response.end();
  }
}

/**
 * Compares host and port. The scheme is unknown here, because a proxy may have terminated TLS, so
 * either http or https matches; an origin with another scheme (`file:`, `capacitor:`) never does.
 */
function isSameHost(origin: string, host: string): boolean {
  if (!/^https?:/i.test(origin) || !URL.canParse(origin)) return false;
  const { protocol, host: originHost } = new URL(origin);
  const own = `${protocol}//${host}`; // parsed as well, so that an explicit default port is equal to none
  return URL.canParse(own) && new URL(own).host === originHost;
}

/** Whether an exception has the status of a server error, which Express reads from it as well. */
function isServerError(error: unknown): boolean {
  const { status, statusCode } = Object(error) as { status?: unknown; statusCode?: unknown };
  return [status, statusCode].some((value) => Number(value) >= 500);
}

async function withTimeout<T>(result: T | Promise<T>): Promise<T> {
  let deadline: Deadline | undefined;
  const timeout = new Promise<never>((_, reject) => {
    deadline = new Deadline(AUTHORIZE_TIMEOUT, () => {
      const error = new Error(`authorize did not settle within ${AUTHORIZE_TIMEOUT} ms`);
      reject(Object.assign(error, { status: 503 }));
    });
  });
  try {
    return await Promise.race([result, timeout]);
  } finally {
    deadline?.clear();
  }
}
