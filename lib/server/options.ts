import type { IncomingMessage } from 'node:http';

/** A request as an option's function sees it: Express's, if Express is what the middleware runs in. */
type AnyRequest = IncomingMessage;

/** Options of {@link createSseMiddleware}. All times are in milliseconds, all sizes in bytes. */
export interface SseOptions<Req extends AnyRequest = AnyRequest> {
  /**
   * How long a session waits for its client to come back after its stream was lost, before it closes
   * with code 1006. Dart's package calls it `keepAlive`. 0 closes at once.
   * @default 30_000
   */
  reconnectTimeout?: number;

  /**
   * Time between two heartbeats on a stream. A duplex client takes 2.5 times that without a byte for
   * a dead connection and opens another. Proxies cut idle connections (nginx and HAProxy after 60 s
   * by their defaults), and Node's `fetch` after 300 s.
   * @default 15_000
   */
  heartbeatInterval?: number;

  /**
   * Largest message taken from a client, in bytes of its JSON; also the largest sum of a batch. More
   * is answered 413. The duplex client learns it when it connects.
   * @default 262_144
   */
  maxPayload?: number;

  /** How long a POST's body may take to arrive, before 408. @default 10_000 */
  bodyTimeout?: number;

  /**
   * Bytes that no socket has taken yet, from which on `connection.send` returns false, as it does past
   * half of `maxBufferedAmount`; `drain` follows. Also how much waits here for an application that is
   * paused, before the client is pushed back on.
   * @default 65_536
   */
  highWaterMark?: number;

  /**
   * Bytes sent to a client and not yet confirmed by it, past which its connection is closed with code
   * 1008. Wide enough by default for a burst written in one loop.
   * @default 16_777_216
   */
  maxBufferedAmount?: number;

  /**
   * Bytes of written messages kept to be written again for a base-dialect client, which never
   * confirms. The oldest go first.
   * @default 1_048_576
   */
  maxReplayBytes?: number;

  /** How far ahead of the next message a client's message may be numbered. @default 1_024 */
  reorderWindow?: number;

  /**
   * How long a base-dialect client's next message may be missing while later ones wait for it, before
   * the connection closes with code 1002. (A duplex client sends it again until it is confirmed.)
   * @default 10_000
   */
  reorderTimeout?: number;

  /** How long `close()` waits for clients to take what was sent to them. @default 5_000 */
  drainTimeout?: number;

  /**
   * Over how long the clients that `close()` sends away come back, each at a random moment of it, so
   * that they do not all arrive at once.
   * @default 5_000
   */
  reconnectJitter?: number;

  /** Sessions at a time. Past it a client is told to come back later. @default 50_000 */
  maxConnections?: number;

  /**
   * Asked before each GET and each POST. To refuse, return false or throw (403). To accept, return
   * true or a string: the principal, the same for every later request of the session (another one is
   * answered as an unknown session is). An answer that takes over 10 s is a refusal.
   * @default everybody is accepted
   */
  authorize?: (request: Req) => boolean | string | Promise<boolean | string>;

  /**
   * Origins other than its own whose pages may use the path: exact strings such as
   * `'https://app.example.com'`, or a function of the `Origin` header, whose throw is a refusal. They may send
   * credentials. `null`, the origin of sandboxed frames and files, is never allowed.
   * @default none: same origin only
   */
  allowedOrigins?: readonly string[] | ((origin: string) => boolean);

  /**
   * Values of the `Host` header (or HTTP/2's `:authority`) that are served; others are refused, which
   * ends DNS rebinding. With the port where there is one.
   * @default all
   */
  allowedHosts?: readonly string[];

  /** Serve the drop-in client at `<path>/client.js`. @default true */
  clientScript?: boolean;
}

/** Options, complete. */
export type ResolvedOptions = Required<
  Omit<SseOptions, 'authorize' | 'allowedOrigins' | 'allowedHosts'>
> & {
  authorize: SseOptions['authorize'];
  isAllowedOrigin: (origin: string) => boolean;
  allowedHosts: ReadonlySet<string> | undefined;
};

/** Node's timers take no more: a longer one fires at once. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;

/** Each number's default, least and greatest value. */
const NUMBERS = {
  reconnectTimeout: [30_000, 0, LONGEST_TIMEOUT],
  heartbeatInterval: [15_000, 10, LONGEST_TIMEOUT / 10],
  maxPayload: [256 * 1024, 1, 2 ** 29],
  bodyTimeout: [10_000, 1, LONGEST_TIMEOUT],
  highWaterMark: [64 * 1024, 1, Infinity],
  maxBufferedAmount: [16 * 1024 * 1024, 1, Infinity],
  maxReplayBytes: [1024 * 1024, 0, Infinity],
  reorderWindow: [1024, 0, Infinity],
  reorderTimeout: [10_000, 1, LONGEST_TIMEOUT],
  drainTimeout: [5_000, 0, LONGEST_TIMEOUT],
  reconnectJitter: [5_000, 1, LONGEST_TIMEOUT],
  maxConnections: [50_000, 1, Infinity],
} as const;

/** @throws TypeError for a value of the wrong type or an unknown name, RangeError for one out of range. */
export function resolveOptions<Req extends AnyRequest>(options: SseOptions<Req>): ResolvedOptions {
  const known = [
    ...Object.keys(NUMBERS),
    'authorize',
    'allowedOrigins',
    'allowedHosts',
    'clientScript',
  ];
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new TypeError(`unknown option "${unknown}": the options are ${known.join(', ')}`);
  }
  const { authorize, allowedOrigins, allowedHosts, clientScript = true } = options;
  if (authorize !== undefined && typeof authorize !== 'function') {
    throw new TypeError(`option "authorize" must be a function, not ${typeof authorize}`);
  }
  if (typeof clientScript !== 'boolean') {
    throw new TypeError(`option "clientScript" must be a boolean, not ${typeof clientScript}`);
  }
  return {
    ...readNumbers(options),
    authorize: authorize as ResolvedOptions['authorize'],
    isAllowedOrigin: readOrigins(allowedOrigins),
    allowedHosts:
      allowedHosts === undefined
        ? undefined
        : new Set(readStrings('allowedHosts', allowedHosts).map(lowerCase)),
    clientScript,
  };
}

function readNumbers(options: Partial<Record<keyof typeof NUMBERS, unknown>>) {
  const numbers = {} as Record<keyof typeof NUMBERS, number>;
  for (const name of Object.keys(NUMBERS) as (keyof typeof NUMBERS)[]) {
    const [standard, least, greatest] = NUMBERS[name];
    const value = options[name] ?? standard;
    if (typeof value !== 'number') {
      throw new TypeError(`option "${name}" must be a number, not ${typeof value}`);
    }
    if (!(value >= least && value <= greatest)) {
      throw new RangeError(`option "${name}" must be from ${least} to ${greatest}, not ${value}`);
    }
    numbers[name] = value;
  }
  return numbers;
}

function readOrigins(
  origins: SseOptions['allowedOrigins'] = [],
): ResolvedOptions['isAllowedOrigin'] {
  // A promise, say, is not a yes.
  if (typeof origins === 'function') return (origin) => (origins(origin) as unknown) === true;
  const allowed = new Set(readStrings('allowedOrigins', origins));
  for (const origin of allowed) {
    if (!isOrigin(origin)) {
      throw new TypeError(
        `option "allowedOrigins" has "${origin}": an origin is scheme, host and port only, ` +
          `as in "https://app.example.com" or "http://localhost:8080"`,
      );
    }
  }
  return (origin) => allowed.has(origin);
}

function isOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text;
}

function readStrings(name: string, value: unknown): string[] {
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
    throw new TypeError(`option "${name}" must be an array of strings`);
  }
  return value;
}

function lowerCase(text: string): string {
  return text.toLowerCase();
}
