import type { IncomingMessage } from 'node:http';
import type { ClusterEngine } from './cluster-engine';

/**
 * Options of `createSseMiddleware`. All times are in milliseconds, all sizes in bytes. An invalid option
 * throws when the middleware is created.
 */
export interface SseOptions<Req extends IncomingMessage = IncomingMessage> {
  /**
   * How long a session waits for its client to reconnect after the stream was lost, before it closes with
   * code 1006; 0 closes it immediately. Dart's `package:sse` calls this `keepAlive`.
   * Range: 0 to 2,147,483,647 ms.
   * @default 30_000
   */
  reconnectTimeout?: number;

  /**
   * Interval between two heartbeats on a stream. A client that receives nothing for 2.5 intervals drops
   * the connection and reconnects. Must be shorter than the idle timeout of every proxy in between (60 s
   * in nginx and HAProxy by default). Range: 10 to 214,748,364 ms.
   * @default 15_000
   */
  heartbeatInterval?: number;

  /**
   * Largest client message in bytes of JSON, and largest sum of a batch. A POST that exceeds it is rejected
   * with 413. The duplex client learns the limit when it connects. Range: 1 to 536,870,912
   * bytes, an integer.
   * @default 262_144
   */
  maxPayload?: number;

  /**
   * How long the body of a POST may take to arrive, before it is rejected with 408.
   * Range: 1 to 2,147,483,647 ms.
   * @default 10_000
   */
  bodyTimeout?: number;

  /**
   * Bytes that no socket has accepted, at which `connection.send` returns `false`. (It also does so above
   * half of `maxBufferedAmount`.) Also the size of the receive buffer of a connection whose application
   * does not read, at which back-pressure is applied to the client. Range: 1 to Infinity bytes.
   * @default 65_536
   */
  highWaterMark?: number;

  /**
   * Bytes that were sent and that the client has not acknowledged, above which the connection closes with
   * code 1008. Dart dialect: bytes that were not written, or that the application has not read. In a cluster,
   * no more messages are accepted from a client while this many bytes are not handled. The default has room for
   * a burst that is sent in one loop. Range: 1 to Infinity bytes.
   * @default 16_777_216
   */
  maxBufferedAmount?: number;

  /**
   * Dart dialect only. Bytes of written messages that are kept for replay after a reconnection, because
   * these clients never acknowledge. The oldest are discarded first. Range: 0 to Infinity bytes.
   * @default 1_048_576
   */
  maxReplayBytes?: number;

  /**
   * Largest distance between the next expected message number and that of a received message. A message
   * that is further ahead is rejected with 409. `maxBufferedAmount` limits the bytes. Browsers send up to
   * 1,000 POSTs of a Dart client at a time, and over HTTP/2 thousands of them may overtake one.
   * Range: 0 to Infinity messages.
   * @default 65_536
   */
  reorderWindow?: number;

  /**
   * Dart dialect only. How long to wait for a missing message before closing with code 1002. (A duplex
   * client repeats a message until it is acknowledged.) Range: 1 to 2,147,483,647 ms.
   * @default 10_000
   */
  reorderTimeout?: number;

  /**
   * How long `close()` of the middleware waits for clients to receive what was sent.
   * Range: 0 to 2,147,483,647 ms.
   * @default 5_000
   */
  drainTimeout?: number;

  /**
   * Reconnect jitter sent with close code 1012: each client opens its new session after a random time up
   * to this value, so that they do not all arrive at once. Range: 1 to 2,147,483,647 ms.
   * @default 5_000
   */
  reconnectJitter?: number;

  /**
   * Largest number of sessions. Above it, requests for a new session are rejected with 503; the clients try
   * again later.
   * Range: 1 to Infinity.
   * @default 50_000
   */
  maxConnections?: number;

  /**
   * Called for each GET and each POST, before the body is read. Return `true`, or a string that identifies the
   * user (the principal), to authorize the request. A promise that does not settle within 5 s, and an error
   * whose `status` or `statusCode` is 500 or more, reject it with 503: the client tries again. `false`, every
   * other value and every other error reject it with 403, which ends the client. All requests of a session must
   * have the same principal; for a different one the session is unknown (404).
   * @default every request is authorized
   */
  authorize?: (request: Req) => boolean | string | Promise<boolean | string>;

  /**
   * Origins other than the server's own whose pages may use the path: an array of exact strings such as
   * `'https://app.example.com'`, or a function of the `Origin` header that returns `true` to allow it (an
   * exception rejects the request). Their requests may carry credentials. `null`, the origin of sandboxed
   * frames and of files, is never allowed.
   * @default the server's own origin only
   */
  allowedOrigins?: readonly string[] | ((origin: string) => boolean);

  /**
   * Values of the `Host` header (`:authority` in HTTP/2) that are served, with the port if there is one;
   * requests with other values are rejected with 403. Prevents DNS rebinding.
   * @default all hosts
   */
  allowedHosts?: readonly string[];

  /** Whether to serve the drop-in client at `<path>/client.js`. @default true */
  clientScript?: boolean;

  /**
   * Whether to handle requests to paths below the path too, such as `/sse/room-1`. `connection.request.url` has the
   * path that the client used; `authorize` is called with each request and its path. @default false
   */
  subpaths?: boolean;

  /**
   * Whether typical mistakes are reported as process warnings: the first rejected request of each kind, unless
   * the application listens for `clientError`, and a middleware that is mounted at the wrong path. @default true
   */
  warnings?: boolean;

  /**
   * The engine through which the sessions are shared with other processes: for example the result of
   * `redisCluster(client)` of `sse-duplex/redis`. Create one for each middleware.
   * @default none: the sessions belong to this process
   */
  cluster?: ClusterEngine;
}

/** Validated options with their defaults. */
export interface ResolvedOptions extends Record<NumericOption, number> {
  authorize: ((request: IncomingMessage) => unknown) | undefined;
  isAllowedOrigin: (origin: string) => boolean;
  allowedHosts: ReadonlySet<string> | undefined;
  clientScript: boolean;
  subpaths: boolean;
  warnings: boolean;
  cluster: ClusterEngine | undefined;
}

/** Maximum delay of a Node timer; a larger value fires immediately. */
export const MAX_TIMEOUT = 2 ** 31 - 1;

const NUMERIC_OPTIONS = {
  reconnectTimeout: { default: 30_000, min: 0, max: MAX_TIMEOUT },
  // A timer waits for ten intervals: a client is considered dead after 2.5 idle intervals of four heartbeats each.
  heartbeatInterval: { default: 15_000, min: 10, max: MAX_TIMEOUT / 10 },
  maxPayload: { default: 256 * 1024, min: 1, max: 2 ** 29 },
  bodyTimeout: { default: 10_000, min: 1, max: MAX_TIMEOUT },
  highWaterMark: { default: 64 * 1024, min: 1, max: Infinity },
  maxBufferedAmount: { default: 16 * 1024 * 1024, min: 1, max: Infinity },
  maxReplayBytes: { default: 1024 * 1024, min: 0, max: Infinity },
  reorderWindow: { default: 65_536, min: 0, max: Infinity },
  reorderTimeout: { default: 10_000, min: 1, max: MAX_TIMEOUT },
  drainTimeout: { default: 5_000, min: 0, max: MAX_TIMEOUT },
  reconnectJitter: { default: 5_000, min: 1, max: MAX_TIMEOUT },
  maxConnections: { default: 50_000, min: 1, max: Infinity },
} as const;

type NumericOption = keyof typeof NUMERIC_OPTIONS;

/**
 * Validates options and adds the defaults.
 *
 * @throws TypeError for an unknown name or a value of the wrong type.
 * @throws RangeError for a number that is out of range.
 */
export function resolveOptions<Req extends IncomingMessage>(
  options: SseOptions<Req>,
): ResolvedOptions {
  const known = [
    ...Object.keys(NUMERIC_OPTIONS),
    'authorize',
    'allowedOrigins',
    'allowedHosts',
    'clientScript',
    'subpaths',
    'warnings',
    'cluster',
  ];
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new TypeError(`unknown option "${unknown}": the options are ${known.join(', ')}`);
  }
  const {
    authorize,
    allowedOrigins,
    allowedHosts,
    clientScript = true,
    subpaths = false,
    warnings = true,
    cluster,
  } = options;
  if (authorize !== undefined && typeof authorize !== 'function') {
    throw new TypeError(`option "authorize" must be a function, not ${typeof authorize}`);
  }
  for (const [name, value] of Object.entries({ clientScript, subpaths, warnings })) {
    if (typeof value === 'boolean') continue;
    throw new TypeError(`option "${name}" must be a boolean, not ${typeof value}`);
  }
  if (
    cluster !== undefined &&
    typeof (cluster as Partial<ClusterEngine> | null)?.start !== 'function'
  ) {
    throw new TypeError(
      'option "cluster" must be an engine, such as the result of redisCluster(client) of "sse-duplex/redis"',
    );
  }
  return {
    ...resolveNumbers(options),
    // The middleware is typed so that the requests it receives are of this type.
    authorize: authorize as ResolvedOptions['authorize'],
    isAllowedOrigin: resolveOrigins(allowedOrigins),
    allowedHosts: resolveHosts(allowedHosts),
    clientScript,
    subpaths,
    warnings,
    cluster,
  };
}

function resolveNumbers(
  options: Partial<Record<NumericOption, unknown>>,
): Record<NumericOption, number> {
  const resolve = (name: NumericOption) => {
    const { default: defaultValue, min, max } = NUMERIC_OPTIONS[name];
    const value = options[name] ?? defaultValue;
    if (typeof value !== 'number') {
      throw new TypeError(`option "${name}" must be a number, not ${typeof value}`);
    }
    if (!(value >= min && value <= max)) {
      throw new RangeError(`option "${name}" must be from ${min} to ${max}, not ${value}`);
    }
    // Clients accept only an integer in `hello`.
    if (name === 'maxPayload' && !Number.isInteger(value)) {
      throw new RangeError(`option "maxPayload" must be an integer, not ${value}`);
    }
    return value;
  };
  return {
    reconnectTimeout: resolve('reconnectTimeout'),
    heartbeatInterval: resolve('heartbeatInterval'),
    maxPayload: resolve('maxPayload'),
    bodyTimeout: resolve('bodyTimeout'),
    highWaterMark: resolve('highWaterMark'),
    maxBufferedAmount: resolve('maxBufferedAmount'),
    maxReplayBytes: resolve('maxReplayBytes'),
    reorderWindow: resolve('reorderWindow'),
    reorderTimeout: resolve('reorderTimeout'),
    drainTimeout: resolve('drainTimeout'),
    reconnectJitter: resolve('reconnectJitter'),
    maxConnections: resolve('maxConnections'),
  };
}

function resolveOrigins(
  allowedOrigins: SseOptions['allowedOrigins'] = [],
): ResolvedOptions['isAllowedOrigin'] {
  if (typeof allowedOrigins === 'function') {
    const isAllowed: (origin: string) => unknown = allowedOrigins;
    return (origin) => isAllowed(origin) === true; // a Promise, for example, does not allow
  }
  const allowed = new Set(checkStrings('allowedOrigins', allowedOrigins, ', or a function'));
  for (const origin of allowed) {
    if (!isOrigin(origin)) {
      throw new TypeError(
        `option "allowedOrigins" has "${origin}": an origin is a lower-case scheme, a host and a port ` +
          `only, as in "https://app.example.com", "http://localhost:8080" or "capacitor://localhost"`,
      );
    }
  }
  return (origin) => allowed.has(origin);
}

function resolveHosts(allowedHosts: unknown): ReadonlySet<string> | undefined {
  if (allowedHosts === undefined) return undefined;
  const hosts = checkStrings('allowedHosts', allowedHosts);
  for (const host of hosts) {
    if (host !== '' && !/[\s/?#@]/.test(host)) continue;
    throw new TypeError(
      `option "allowedHosts" has "${host}": a host is a name or an address, and the port if the URL has one, ` +
        'as in "app.example.com" or "localhost:3000"',
    );
  }
  return new Set(hosts.map((host) => host.toLowerCase()));
}

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { origin, protocol, host } = new URL(text);
  // The URL standard knows the origin of its own schemes only; apps use others.
  return text === (origin === 'null' ? `${protocol}//${host}` : origin);
}

function checkStrings(name: string, value: unknown, alternative = ''): string[] {
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
    throw new TypeError(`option "${name}" must be an array of strings${alternative}`);
  }
  return value;
}
