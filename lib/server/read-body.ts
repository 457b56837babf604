import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { SseRequestError } from './request-error';

/** A POST's body: one JSON value, and its size in bytes. */
export interface Body {
  value: unknown;
  size: number;
}

/** A request that a body parser may have been at. */
type MaybeParsed = IncomingMessage & { body?: unknown };

/** HTTP/2's, in Node's compatible form, has a stream of its own. */
type MaybeHttp2Request = IncomingMessage & {
  readonly stream?: Readable & { readonly aborted: boolean };
};

const MEDIA_TYPE = /^\s*(?:text\/plain|application\/(?:[\w.-]+\+)?json)\s*(?:;|$)/i;
const CHARSET = /;\s*charset\s*=\s*"?([^\s";]+)/i;

/** A body that did not come to its end. Its client may send it again. */
export class CutBodyError extends SseRequestError {
  constructor() {
    super('bad-request', 'the body was cut before its end');
  }
}

/**
 * Reads a POST's body as one JSON value, whether or not a body parser ahead of us did.
 *
 * @param allowance bytes that a body may have beside its messages' `maxPayload`.
 * @throws SseRequestError
 */
export async function readMessage(
  request: IncomingMessage,
  maxPayload: number,
  timeout: number,
  allowance = 0,
): Promise<Body> {
  refuseMediaType(request);
  const limit = maxPayload + allowance;
  if (request.readableDidRead) {
    const body = readParsed(request);
    if (body.size > limit) throw tooLarge(maxPayload);
    return body;
  }
  if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge(maxPayload);
  const bytes = await readBody(request, limit, timeout);
  if (bytes.length > limit) throw tooLarge(maxPayload);
  return { value: parseJson(decode(bytes)), size: bytes.length };
}

/**
 * Reads on to a refused POST's end, for `timeout` at most, so that the connection can carry another
 * request and the client sees the refusal instead of a reset.
 */
export function discardBody(request: MaybeHttp2Request, timeout: number): void {
  if (request.readableEnded || request.destroyed) return;
  const timer = setTimeout(() => (request.stream ?? request).destroy(), timeout).unref();
  request.on('close', () => clearTimeout(timer));
  request.resume();
}

function refuseMediaType({ headers }: IncomingMessage): void {
  const type = headers['content-type'];
  const encoding = headers['content-encoding'];
  if (type !== undefined && !MEDIA_TYPE.test(type)) {
    throw new SseRequestError(
      'unsupported-media-type',
      `Content-Type ${JSON.stringify(type)} is not taken: send JSON as text/plain (no CORS preflight) or application/json`,
    );
  }
  const charset = CHARSET.exec(type ?? '')?.[1];
  if (charset !== undefined && !/^utf-?8$/i.test(charset)) {
    throw new SseRequestError(
      'unsupported-media-type',
      `charset ${JSON.stringify(charset)} is not taken: send UTF-8`,
    );
  }
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw new SseRequestError(
      'unsupported-media-type',
      `Content-Encoding ${JSON.stringify(encoding)} is not taken: send the body uncompressed`,
    );
  }
}

/** Stops when the limit is passed. */
function readBody(request: MaybeHttp2Request, limit: number, timeout: number): Promise<Buffer> {
  // Its `close` was told already, and what had come of it is gone.
  if (request.destroyed || request.stream?.aborted) return Promise.reject(new CutBodyError());

  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    // Its listeners stay: to take them off would cost more than all they do.
    let isSettled = false;

    const settle = (outcome: () => void) => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(timer);
      outcome();
    };
    const onEnd = () =>
      settle(() => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
    const timer = setTimeout(() => {
      const message = `the body did not arrive within ${timeout} ms (option "bodyTimeout")`;
      settle(() => reject(new SseRequestError('request-timeout', message)));
    }, timeout).unref();
    request.on('data', (chunk: Buffer) => {
      if (isSettled) return;
      size += chunk.length;
      chunks.push(chunk);
      if (size > limit) onEnd();
    });
    request.on('end', onEnd);
    request.on('close', () => settle(() => reject(new CutBodyError())));
    // Of an `error` it says nothing where nobody listens.
  });
}

/** What a body parser ahead of us left. */
function readParsed(request: MaybeParsed): Body {
  const { body } = request;
  const declared = Number(request.headers['content-length'] ?? NaN);
  if (Buffer.isBuffer(body)) return { value: parseJson(decode(body)), size: body.length };
  if (typeof body === 'string') {
    // express.text() left the JSON, as long as it was sent; express.json() the string that it means.
    const size = Buffer.byteLength(body);
    const isText = !/json/i.test(request.headers['content-type'] ?? '');
    const isJson = Number.isNaN(declared) ? isText : size === declared;
    return isJson ? { value: parseJson(body), size } : { value: body, size: declared };
  }
  if (body === undefined) {
    throw new SseRequestError(
      'bad-request',
      'a middleware ahead of sse-duplex read the request body and left nothing: mount sse-duplex before it',
    );
  }
  return { value: body, size: Number.isNaN(declared) ? 0 : declared };
}

function decode(bytes: Buffer): string {
  try {
    return UTF_8.decode(bytes);
  } catch {
    throw new SseRequestError('bad-request', 'the body is not UTF-8');
  }
}
const UTF_8 = new TextDecoder('utf-8', { fatal: true });

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const message =
      text === ''
        ? 'the body is empty: send one JSON value'
        : `the body is not JSON (${(error as Error).message}): send one JSON value`;
    throw new SseRequestError('bad-request', message); // no cause: its text quotes the body as it is
  }
}

function tooLarge(maxPayload: number): SseRequestError {
  return new SseRequestError(
    'content-too-large',
    `the body is larger than ${maxPayload} bytes: send smaller messages, or set the option "maxPayload" higher`,
    { body: { maxPayload } },
  );
}
