import type { SseErrorCode } from '../protocol/wire';
import type { Finding } from './doctor';
import type { PlainResponse } from './probe';

const AGAIN = 'Try again later. If it happens often, see "Rejected requests" in docs/server.md.';
const CHANGED =
  'A proxy changes the request, or the versions of client and server do not match. See docs/server.md.';

/** What to do about an error response of this package's server. */
const REMEDIES: Record<SseErrorCode, string> = {
  'bad-request': CHANGED,
  forbidden:
    'Pass what "authorize" needs with -H, and check the options "allowedHosts" and "allowedOrigins" of the server.',
  'unknown-session': AGAIN,
  'method-not-allowed': CHANGED,
  'request-timeout': AGAIN,
  'session-conflict': AGAIN,
  'out-of-window': AGAIN,
  'session-closed': 'The application closes new sessions at once. See the code and the reason.',
  'content-too-large': 'Raise the option "maxPayload" of the server.',
  'unsupported-media-type': CHANGED,
  'service-unavailable':
    'The server is stopping, has reached "maxConnections", or does not reach its cluster. Try again later.',
};

const HTML_REMEDY =
  'Check the path, and mount the middleware before the route that answers every path with the page.';
const NOT_FOUND_REMEDY =
  'Check the path: it is that of createSseMiddleware(path), below the path of its router.';
const LOGIN_REMEDY =
  'Something in front of the server asks for a login. Pass its header or cookie with -H.';
const RATE_LIMIT_REMEDY =
  'A rate limiter in front of the server counts the requests. Mount the channel before it, or exclude the path.';
const GATEWAY_REMEDY =
  'A proxy does not reach the server. Check that it runs, and the address in the proxy.';

/** Explains an error response of the server, or an unexpected response of something else. */
export function explainResponse({ status, headers, body }: PlainResponse): Finding {
  const failure = (text: string, remedy: string): Finding => ({
    check: 'server',
    severity: 'failure',
    text,
    remedy,
  });
  const own = readErrorBody(body);
  if (own) {
    const text = `The server rejected the request: ${status} ${own.code}: ${own.message}.`;
    return failure(text, REMEDIES[own.code]);
  }
  if (status >= 300 && status < 400) {
    return failure(
      `The response is a redirect (${status}) to ${headers.location ?? 'an unknown address'}.`,
      'The client follows no redirects. Use the final URL. If it is a login page, pass the cookie with -H.',
    );
  }
  const isPage = /\bhtml\b/i.test(headers['content-type'] ?? '');
  if (status === 200) {
    const kind = isPage ? 'a page' : (headers['content-type'] ?? 'of an unknown type');
    return failure(`The response is ${kind} (HTTP 200), not an event stream.`, HTML_REMEDY);
  }
  const text = `HTTP ${status}, and not from sse-duplex${excerpt(body, isPage)}.`;
  if (status === 401 || status === 403 || status === 407) return failure(text, LOGIN_REMEDY);
  if (status === 429) return failure(text, RATE_LIMIT_REMEDY);
  if (status >= 502 && status <= 504) return failure(text, GATEWAY_REMEDY);
  return failure(text, NOT_FOUND_REMEDY);
}

/** Explains an error of a request that received no response. */
export function explainFailure(error: unknown, { hostname, host }: URL): Finding {
  const { code = '', message } = error as NodeJS.ErrnoException;
  const [text, remedy] = describe(code, message, hostname, host);
  return { check: 'reachable', severity: 'failure', text, remedy };
}

function describe(
  code: string,
  message: string,
  hostname: string,
  host: string,
): [text: string, remedy: string] {
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return [
      `The name ${hostname} has no address (${code}).`,
      'Check the host in the URL, and the DNS of this machine.',
    ];
  }
  if (code === 'ECONNREFUSED') {
    return [`Nothing listens at ${host} (${code}).`, 'Start the server, or correct the port.'];
  }
  if (code === 'EPROTO') {
    return [
      `The server at ${host} does not speak TLS (${code}).`,
      'Use http: instead of https:, or the port of HTTPS.',
    ];
  }
  if (/CERT|SELF_SIGNED|ALTNAME|VERIFY/.test(code)) {
    return [
      `The certificate of ${host} is not accepted: ${message} (${code}).`,
      'For a private certificate authority, set NODE_EXTRA_CA_CERTS to its file.',
    ];
  }
  return [
    `A request to ${host} failed: ${message}${code && ` (${code})`}.`,
    'Check the address, the proxies and the firewalls on the way.',
  ];
}

function readErrorBody(body: string): { code: SseErrorCode; message: string } | undefined {
  const { code, message } = parseObject(body) ?? {};
  return isErrorCode(code) && typeof message === 'string' ? { code, message } : undefined;
}

function isErrorCode(code: unknown): code is SseErrorCode {
  return typeof code === 'string' && Object.hasOwn(REMEDIES, code);
}

/** Parses the members of a JSON object; another JSON value has none. Returns undefined for text that is not JSON. */
export function parseObject(json: string): Record<string, unknown> | undefined {
  try {
    return Object(JSON.parse(json)) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function excerpt(body: string, isPage: boolean): string {
  const line = body.replace(/\s+/g, ' ').trim().slice(0, 100);
  return isPage || line === '' ? '' : `: ${line}`;
}
