import { onTestFinished } from './on-test-finished';
import { waitFor } from './wait-for';

/** A request that waits for its response. */
export interface PendingRequest {
  url: URL;
  method: string;
  headers: Record<string, string>;
  init: RequestInit;
  /** The parsed body of a POST. */
  body: unknown;
  /** Whether the client has aborted it. */
  isAborted(): boolean;
  /** Responds. A successful response to a closing POST says that the session is closed, unless `body` does. */
  answer(status: number, body?: object | string, headers?: Record<string, string>): void;
  respond(response: Response): void;
  fail(): void;
  /** Responds with an event stream. */
  stream(headers?: Record<string, string>): {
    write(text: string): void;
    end(): void;
    fail(): void;
  };
  /** Responds with an event stream that begins with `hello`. */
  hello(fields?: object): ReturnType<PendingRequest['stream']>;
}

export const HELLO = {
  token: 'TOKEN',
  resumed: false,
  sent: 0,
  received: 0,
  heartbeat: 15_000, // as a server, so that a slow machine does not make requests time out
  ackAfter: { messages: 3, bytes: 1000, idle: 4000 },
  maxPayload: 100,
};

/** Creates a `fetch` whose requests the test answers one by one. */
export function scriptFetch() {
  const waiting: PendingRequest[] = [];

  function fetch(url: string, init: RequestInit): Promise<Response> {
    return new Promise((resolve, reject) => {
      const { signal } = init;
      const method = init.method ?? 'GET';
      signal?.addEventListener('abort', () => reject(signal.reason as Error));
      const request: PendingRequest = {
        url: new URL(url),
        method,
        headers: init.headers as Record<string, string>,
        init,
        body: typeof init.body === 'string' ? (JSON.parse(init.body) as unknown) : undefined,
        isAborted: () => signal?.aborted ?? false,
        answer(status, body = {}, headers = {}) {
          const { close } = Object(request.body) as { close?: object };
          const answer =
            status === 200 && close ? { closed: true, ...(Object(body) as object) } : body;
          const text = typeof answer === 'string' ? answer : JSON.stringify(answer);
          resolve(new Response(text, { status, headers }));
        },
        respond: resolve,
        fail: () => reject(new TypeError('fetch failed')),
        stream(headers = { 'Content-Type': 'text/event-stream' }) {
          let controller!: ReadableStreamDefaultController<Uint8Array>;
          let isOver = false;
          const body = new ReadableStream<Uint8Array>({
            start: (own) => void (controller = own),
            cancel: () => void (isOver = true),
          });
          const finish = (how: () => void) => {
            if (!isOver) how();
            isOver = true;
          };
          signal?.addEventListener('abort', () => finish(() => controller.error(signal.reason)));
          onTestFinished(() => finish(() => controller.close()));
          resolve(new Response(body, { headers }));
          return {
            write: (text) => controller.enqueue(new TextEncoder().encode(text)),
            end: () => finish(() => controller.close()),
            fail: () => finish(() => controller.error(new TypeError('terminated'))),
          };
        },
        hello(fields = {}) {
          const stream = request.stream();
          stream.write(`event: hello\ndata: ${JSON.stringify({ ...HELLO, ...fields })}\n\n`);
          return stream;
        },
      };
      waiting.push(request);
    });
  }

  /** Resolves with the next request of the method, in the order of arrival. */
  async function next(method: 'GET' | 'POST'): Promise<PendingRequest> {
    const find = () => waiting.findIndex((request) => request.method === method);
    await waitFor(() => find() >= 0);
    return waiting.splice(find(), 1)[0]!;
  }

  return { fetch, next, waiting: () => waiting.length };
}
