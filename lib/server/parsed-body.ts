import type { IncomingMessage } from 'node:http';
import { checkNesting } from './nesting';
import { SseRequestError } from './request-error';

/** A request whose body may have been read by a body parser. */
type MaybeParsedRequest = IncomingMessage & { body?: unknown };

/** A body that a body parser ahead of this package has parsed. */
export interface ParsedBody {
  value: unknown;
  /** In bytes of JSON. */
  size: number;
}

/** Returns what a body parser ahead of this package left. @throws SseRequestError if it is nothing. */
export function parsedBody(request: MaybeParsedRequest): Buffer | ParsedBody {
  const { body, headers } = request;
  if (Buffer.isBuffer(body)) return body;
  if (body === undefined) {
    throw new SseRequestError(
      'bad-request',
      'a middleware ahead of sse-duplex read the request body and left nothing: mount sse-duplex before it',
    );
  }
  const declared = Number(headers['content-length'] ?? NaN);
  if (typeof body === 'string') {
    // express.text() leaves the JSON text, whose size is the declared one; express.json() leaves the
    // string that the JSON represents.
    const bytes = Buffer.from(body);
    const isText = Number.isNaN(declared)
      ? !/json/i.test(headers['content-type'] ?? '')
      : bytes.length === declared;
    if (isText) return bytes;
  }
  checkNesting(body); // before `JSON.stringify`, which would throw
  // A chunked body declares no length.
  const size = Number.isNaN(declared) ? Buffer.byteLength(JSON.stringify(body)) : declared;
  return { value: body, size };
}
