import type { IncomingMessage, ServerResponse } from 'node:http';
import { PROTOCOL_HEADER } from '../protocol/wire';
import type { ResolvedOptions } from './options';
import { SseRequestError } from './request-error';

/** Longer than any answer an `authorize` should take, shorter than a client's patience. */
const AUTHORIZE_TIMEOUT = 10_000;

/** Who may use the path: host, origin, `authorize`. */
export class RequestPolicy {
  readonly #settings: ResolvedOptions;

  constructor(settings: ResolvedOptions) {
    this.#settings = settings;
  }

  /**
   * Refuses a request by its host and origin, before its body is read, and lets an allowed foreign
   * page read the response.
   *
   * @throws SseRequestError
   */
  admit(request: IncomingMessage, response: ServerResponse): void {
    const { headers } = request;
    const host = headers.host ?? (headers[':authority'] as string | undefined) ?? '';
    const { allowedHosts, isAllowedOrigin } = this.#settings;
    if (allowedHosts && !allowedHosts.has(host.toLowerCase())) {
      throw new SseRequestError(
        'forbidden',
        `host ${JSON.stringify(host)} is not served: if it should be, add it to the option "allowedHosts"`,
      );
    }

    const { origin } = headers;
    const site = headers['sec-fetch-site'];
    // The browser itself says so, and no page can make it say otherwise [Fetch Metadata §2.3].
    if (site === 'same-origin' || site === 'none') return;
    if (origin === undefined) {
      if (site === undefined) return; // not a browser, or one that says nothing of a same-origin GET
      throw new SseRequestError('forbidden', `a ${site} request without an Origin is not served`);
    }
    if (site === undefined && isSameHost(origin, host)) return;
    if (origin === 'null' || !isAllowedOrigin(origin)) {
      throw new SseRequestError(
        'forbidden',
        `origin ${JSON.stringify(origin)} is not allowed on host ${JSON.stringify(host)}: add it to the ` +
          `option "allowedOrigins", or, behind a proxy, let the proxy pass the Host header on ` +
          `(nginx: proxy_set_header Host $http_host)`,
      );
    }
    // No cache keeps any answer; this is for one that does all the same.
    const vary = response.getHeader('Vary');
    response.setHeader('Vary', vary === undefined ? 'Origin' : `${String(vary)}, Origin`);
    response.setHeader('Access-Control-Allow-Origin', origin);
    response.setHeader('Access-Control-Allow-Credentials', 'true');
    response.setHeader('Access-Control-Expose-Headers', `${PROTOCOL_HEADER}, Retry-After`);
  }

  /**
   * Asks the application. Never fails open: what is not true or a string, a throw, a rejection and
   * silence are all refusals.
   *
   * @returns the principal, where the application named one.
   * @throws SseRequestError
   */
  async authorize(request: IncomingMessage): Promise<string | undefined> {
    const { authorize } = this.#settings;
    let answer: unknown;
    try {
      answer = authorize === undefined || (await withTimeout(authorize(request)));
    } catch (cause) {
      throw new SseRequestError('forbidden', 'not authorized', { cause });
    }
    if (typeof answer === 'string') return answer;
    if (answer !== true) throw new SseRequestError('forbidden', 'not authorized');
    return undefined;
  }

  /** Whether every request is authorized without asking, so that none has to wait for it. */
  get isOpen(): boolean {
    return this.#settings.authorize === undefined;
  }

  /** Answers a CORS preflight of an origin that {@link admit} let pass. */
  answerPreflight(request: IncomingMessage, response: ServerResponse): void {
    const asked = request.headers['access-control-request-headers'] ?? '';
    response.writeHead(204, {
      'Access-Control-Allow-Methods': 'GET, POST',
      // An origin that the application listed may send any header, such as its own for `authorize`.
      'Access-Control-Allow-Headers': HEADER_NAMES.test(asked) ? asked : '',
      'Access-Control-Max-Age': '7200', // what Chromium caps it at
      'Cache-Control': 'no-store',
    });
    response.end();
  }
}

const HEADER_NAMES = /^[\w-]+(?:\s*,\s*[\w-]+)*$/;

/**
 * Compares host and port. Which scheme of the two was used is not known here: a proxy may have ended
 * TLS. Others (`file:`, `capacitor://localhost`) are never this server's.
 */
function isSameHost(origin: string, host: string): boolean {
  if (!/^https?:/i.test(origin) || !URL.canParse(origin)) return false;
  const own = new URL(origin);
  const served = `${own.protocol}//${host}`; // so that a port written out compares with a default one
  return URL.canParse(served) && new URL(served).host === own.host;
}

async function withTimeout<T>(answer: T | Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`authorize did not answer within ${AUTHORIZE_TIMEOUT} ms`));
    }, AUTHORIZE_TIMEOUT).unref();
  });
  try {
    return await Promise.race([answer, silence]);
  } finally {
    clearTimeout(timer);
  }
}
