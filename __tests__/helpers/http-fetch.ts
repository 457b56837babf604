import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { RequestOptions } from 'node:https';

/** A `fetch` for the client on top of node:http and node:https, which allows a custom agent or socket. */
export function httpFetch(
  url: string,
  { method, headers, body, signal }: RequestInit,
  options: RequestOptions,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const type = body ? { 'Content-Type': 'text/plain;charset=UTF-8' } : {};
    const send = url.startsWith('https:') ? httpsRequest : httpRequest;
    const request = send(url, {
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
      const { statusCode: status, headers: responseHeaders } = response;
      resolve(new Response(stream, { status, headers: responseHeaders as Record<string, string> }));
    });
    request.end(body);
  });
}
