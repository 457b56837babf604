import { ServerResponse } from 'node:http';
import type { ErrorBody, SseErrorCode } from '../protocol/wire';

/** The HTTP status of each fault: PROTOCOL.md, "Refusals". */
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

/**
 * A peer's fault: what a request is refused with, and what a `clientError` listener gets. Its message
 * says what is wrong and what to do.
 */
export class SseRequestError extends Error {
  override readonly name = 'SseRequestError';
  /** The fault's word, as the response's `error` has it. */
  readonly code: SseErrorCode;
  /** The response's HTTP status. */
  readonly status: number;
  readonly #extra: { headers?: Record<string, string>; body?: Partial<ErrorBody> };

  constructor(
    code: SseErrorCode,
    message: string,
    extra: { headers?: Record<string, string>; body?: Partial<ErrorBody>; cause?: unknown } = {},
  ) {
    // It may quote its peer, and logs are read by the line.
    super(
      message.replace(UNPRINTABLE, '\uFFFD'),
      'cause' in extra ? { cause: extra.cause } : undefined,
    );
    this.code = code;
    this.status = STATUS[code];
    this.#extra = extra;
  }

  /** Ends the response with this refusal; without effect on one that is under way or gone. */
  answer(response: ServerResponse): void {
    if (response.headersSent || response.destroyed) return;
    const body: ErrorBody = { code: this.code, message: this.message, ...this.#extra.body };
    sendJson(response, this.status, body, {
      'X-Content-Type-Options': 'nosniff', // it may quote its peer
      ...this.#extra.headers,
    });
  }
}

const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}]/gu;

/** Ends the response with JSON that no cache keeps. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: object,
  headers?: Record<string, string>,
): void {
  const json = JSON.stringify(body);
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(json),
    'Cache-Control': 'no-store',
    ...headers,
  });
  const { socket } = response;
  const plain = ServerResponse.prototype;
  if (!socket || response.write !== plain.write || response.end !== plain.end) {
    response.end(json); // its turn has not come, it is HTTP/2's, or another middleware's
    return;
  }
  // Head and body in one piece. Given to `end`, the body is followed by an empty piece, and the two
  // cost a writev(2), which is about 5 µs more (bench: post).
  socket.cork();
  response.write(json);
  socket.uncork();
  response.end();
}
