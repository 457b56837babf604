import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** The drop-in client, minified. Defined by the build (tsup.config.js) and by jest.config.js. */
declare const SSE_CLIENT_SCRIPT: string;

const SCRIPT = Buffer.from(SSE_CLIENT_SCRIPT);
const ETAG = `"${createHash('sha256').update(SCRIPT).digest('base64url').slice(0, 22)}"`;

/** Serves `<path>/client.js` to any page: the script contains nothing but the client's code. */
export function serveClientScript(request: IncomingMessage, response: ServerResponse): void {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { Allow: 'GET, HEAD' }).end();
    return;
  }
  const headers = {
    'Content-Type': 'text/javascript; charset=utf-8',
    // Revalidated on each use, so that page and server always have the same version.
    'Cache-Control': 'no-cache',
    ETag: ETAG,
    // Pages of allowed origins load the script as well; helmet, for example, forbids it by default.
    'Cross-Origin-Resource-Policy': 'cross-origin',
    'X-Content-Type-Options': 'nosniff',
  };
  if (request.headers['if-none-match']?.includes(ETAG)) {
    response.writeHead(304, headers).end();
    return;
  }
  response.writeHead(200, { ...headers, 'Content-Length': SCRIPT.length });
  response.end(request.method === 'HEAD' ? undefined : SCRIPT);
}
