import type { IncomingMessage } from 'node:http';
import { checkNesting } from './nesting';
import { readBody } from './node-http';
import { SseRequestError } from './request-error';

/** The body of a POST: one JSON value, and its size in bytes. */
export interface JsonBody {
  value: unknown;
  size: number;
}

const MEDIA_TYPE = /^\s*(?:text\/plain|application\/(?:[\w.-]+\+)?json)\s*(?:;|$)/i;
const CHARSET = /;\s*charset\s*=\s*"?([^\s";]+)/i;
const UTF_8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads the body of a POST as one JSON value, whether or not a body parser has read it before.
 *
 * @param maxPayload in bytes.
 * @param timeout in milliseconds.
 * @param allowance bytes by which the body may exceed `maxPayload`.
 * @throws SseRequestError if the body is not acceptable.
 */
export async function readJsonBody(
  request: IncomingMessage,
  maxPayload: number,
  timeout: number,
  allowance = 0,
): Promise<JsonBody> {
  checkMediaType(request);
  const limit = maxPayload + allowance;
  const isTooLarge = Number(request.headers['content-length'] ?? 0) > limit;
  if (isTooLarge && !request.readableDidRead) throw contentTooLarge(maxPayload);
  const body = await readBody(request, limit, timeout);
  const size = Buffer.isBuffer(body) ? body.length : body.size;
  if (size > limit) throw contentTooLarge(maxPayload);
  if (!Buffer.isBuffer(body)) return body;
  const text = decodeUtf8(body);
  const value = parseJson(text);
  checkNesting(value, text.length);
  return { value, size };
}

function checkMediaType({ headers }: IncomingMessage): void {
  const type = headers['content-type'];
  const encoding = headers['content-encoding'];
  if (type !== undefined && !MEDIA_TYPE.test(type)) {
    throw new SseRequestError(
      'unsupported-media-type',
      `Content-Type ${JSON.stringify(type)} is not supported: send JSON as text/plain (which needs ` +
        `no CORS preflight) or application/json`,
    );
  }
  const charset = CHARSET.exec(type ?? '')?.[1];
  if (charset !== undefined && !/^utf-?8$/i.test(charset)) {
    throw new SseRequestError(
      'unsupported-media-type',
      `charset ${JSON.stringify(charset)} is not supported: send UTF-8`,
    );
  }
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw new SseRequestError(
      'unsupported-media-type',
      `Content-Encoding ${JSON.stringify(encoding)} is not supported: send the body uncompressed`,
    );
  }
}

function decodeUtf8(bytes: Buffer): string {
  try {
    return UTF_8.decode(bytes);
  } catch {
    throw new SseRequestError('bad-request', 'the request body is not valid UTF-8');
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const detail = text === '' ? 'is empty' : `is not JSON (${String(error)})`;
    // No `cause`: its message quotes the body unchanged, including control characters.
    throw new SseRequestError('bad-request', `the request body ${detail}: send one JSON value`);
  }
}

export function contentTooLarge(maxPayload: number): SseRequestError {
  return new SseRequestError(
    'content-too-large',
    `the request body exceeds ${maxPayload} bytes: send smaller messages, or raise the option "maxPayload"`,
    { body: { maxPayload } },
  );
}
