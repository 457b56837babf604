import { connect } from 'node:net';

/** Number of requests in flight at a time. */
const DEPTH = 50;

/** Composes a request as text. */
export function composeRequest(
  method: string,
  target: string,
  headers: Record<string, string> = {},
  body = '',
): string {
  const all = { Host: 'localhost', 'Content-Length': String(body.length), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
  return [`${method} ${target} HTTP/1.1`, ...lines, '', body].join('\r\n');
}

/**
 * Sends requests, all of which the server must reject, over one connection. Returns how often each
 * response occurred, without its `Date` header.
 *
 * @throws Error if a request is accepted or the connection ends.
 */
export async function pipeline(url: string, requests: string[]): Promise<Map<string, number>> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname).setEncoding('latin1');
  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<string, undefined>;
  const counts = new Map<string, number>();
  for (let first = 0; first < requests.length; first += DEPTH) {
    const batch = requests.slice(first, first + DEPTH);
    socket.write(batch.join(''));
    let text = '';
    let responses: string[] = [];
    while (responses.length < batch.length || !text.endsWith('}')) {
      const { value } = await chunks.next();
      text += value ?? '';
      if (value === undefined || /^HTTP\/1\.1 2/m.test(text)) throw new Error(`received ${text}`);
      responses = text.split(/(?=HTTP\/1\.1 )/);
    }
    for (const response of responses) {
      const withoutDate = response.replace(/^Date: .*\r\n/m, '');
      counts.set(withoutDate, (counts.get(withoutDate) ?? 0) + 1);
    }
  }
  socket.destroy();
  return counts;
}
