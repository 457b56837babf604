import type { Close, ErrorBody, SseErrorCode } from '../protocol/wire';

/** HTTP status of each error code: PROTOCOL.md, "Error responses". */
const STATUS: Record<SseErrorCode, number> = {
  'bad-request': 400,
  forbidden: 403,
  'unknown-session': 404,
  'method-not-allowed': 405,
  'request-timeout': 408,
  'session-conflict': 409,
  'out-of-window': 409,
  'session-closed': 410,
  'content-too-large': 413,
  'unsupported-media-type': 415,
  'service-unavailable': 503,
};

/** Control characters and line separators: error messages may quote a request, and logs are read by the line. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}]/gu;

/** Details of an {@link SseRequestError}. */
interface ErrorDetails {
  /** Additional response headers. */
  headers?: Record<string, string>;
  /** Additional members of the response body. */
  body?: Partial<ErrorBody>;
  cause?: unknown;
}

/**
 * The reason why a request was rejected: the argument of a `clientError` listener and the content of
 * the error response.
 *
 * `message` says what is wrong and how to correct it. It may quote the request; control characters in
 * it are replaced. `cause` is the error that led to the rejection, if there was one: of `authorize`, of
 * `allowedOrigins`, or of the engine of a cluster. It is not part of the response.
 */
export class SseRequestError extends Error {
  /** Always 'SseRequestError'. */
  override readonly name = 'SseRequestError';
  /** Machine-readable error code, as in the response body: PROTOCOL.md, "Error responses". */
  readonly code: SseErrorCode;
  /** HTTP status of the response, 400 to 599. */
  readonly status: number;
  readonly #details: ErrorDetails;

  /** @internal Errors are created by the middleware. */
  constructor(code: SseErrorCode, message: string, details: ErrorDetails = {}) {
    const { cause } = details;
    super(message.replace(UNPRINTABLE, '\uFFFD'), cause === undefined ? undefined : { cause });
    this.code = code;
    this.status = STATUS[code];
    this.#details = details;
  }

  /** @internal Body of the error response. */
  get body(): ErrorBody {
    return { code: this.code, message: this.message, ...this.#details.body };
  }

  /** @internal Headers of the error response. `nosniff`, because the body may quote the request. */
  get headers(): Record<string, string> {
    return { 'X-Content-Type-Options': 'nosniff', ...this.#details.headers };
  }
}

/** The error response to a request whose session does not exist, or belongs to another client. */
export function unknownSession(): SseRequestError {
  return new SseRequestError(
    'unknown-session',
    'there is no such session on this server: it has ended, it belongs to another user, or another process has it ' +
      '(see the option "cluster"). Open a new one',
  );
}

/** The error response to a message whose predecessors are missing. */
export function outOfWindow(number: number, received: number): SseRequestError {
  return new SseRequestError(
    'out-of-window',
    `message ${number} is outside the window: the next expected number is ${received}, and ` +
      `the messages before ${number} must arrive first (option "reorderWindow")`,
  );
}

/** The error response to a POST while the receive buffer of its session is full. The client repeats its request. */
export function receiveBufferFull(): SseRequestError {
  return temporary(
    'the application does not read its messages fast enough: send the batch again later',
  );
}

/** The error response to a POST for a session that is closed. */
export function sessionClosed({ code, reason }: Close): SseRequestError {
  return new SseRequestError('session-closed', `the session is closed: ${code} ${reason}`, {
    body: { close: { code, reason } },
  });
}

/** The error response if `authorize` timed out or failed with a server error. The client repeats its request. */
export function cannotAuthorizeNow(cause: unknown): SseRequestError {
  return temporary('the request cannot be authorized now: send it again later', cause);
}

/** The error response while the engine of the cluster does not answer. The client repeats its request. */
export function engineUnavailable(cause?: unknown): SseRequestError {
  return temporary(
    'the storage that the nodes of the cluster share does not answer: send the request again later',
    cause,
  );
}

/** The error response while it is uncertain which node has the session. The client repeats its request. */
export function ownerUncertain(): SseRequestError {
  return temporary(
    'the session is just ending or moving to another node of the cluster: send the request again later',
  );
}

/** An error response after which the client repeats its request soon. */
function temporary(message: string, cause?: unknown): SseRequestError {
  return new SseRequestError('service-unavailable', message, {
    headers: { 'Retry-After': '1' },
    cause,
  });
}
