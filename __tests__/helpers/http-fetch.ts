import { request as httpRequest } from 'node:http';
import type { RequestOptions } from 'node:http';

/** As much of `fetch` as the client needs, over Node's http: with an agent, or a socket, of one's own. */
export function httpFetch(
  url: string,
  { method, headers, body, signal }: RequestInit,
  options: RequestOptions,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const type = body ? { 'Content-Type': 'text/plain;charset=UTF-8' } : {};
    const request = httpRequest(url, {
      ...options,
      method,
      headers: { ...(headers as Record<string, string>), ...type },
    });
    let fail = (reason: Error) => reject(reason);
    signal?.addEventListener('abort', () => {
      fail(signal.reason as Error);
      request.destroy();
    });
    request.on('error', (error) => fail(error));
    request.on('response', (response) => {
      const stream = new ReadableStream<Uint8Array>({
        start(controller) {
          let isOver = false;
          const end = (how: () => void) => {
            if (!isOver) how();
            isOver = true;
          };
          fail = (reason) => end(() => controller.error(reason));
          response.on('data', (chunk: Buffer) => controller.enqueue(chunk));
          response.on('end', () => end(() => controller.close()));
          response.on('error', (error) => fail(error));
        },
      });
      const { statusCode: status, headers: answered } = response;
      resolve(new Response(stream, { status, headers: answered as Record<string, string> }));
    });
    request.end(body);
  });
}
