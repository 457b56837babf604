import { onTestFinished } from './on-test-finished';
import { waitFor } from './wait-for';

/** A request that waits for its answer. */
export interface PendingRequest {
  url: URL;
  method: string;
  headers: Record<string, string>;
  init: RequestInit;
  /** A POST's envelope, or the base dialect's message. */
  body: unknown;
  /** Whether the client has given it up. */
  isAborted(): boolean;
  answer(status: number, body?: object, headers?: Record<string, string>): void;
  fail(): void;
  /** Answers with an event stream. */
  stream(headers?: Record<string, string>): {
    write(text: string): void;
    end(): void;
    fail(): void;
  };
  /** As a duplex server's stream begins. */
  hello(fields?: object): ReturnType<PendingRequest['stream']>;
}

export const HELLO = {
  token: 'TOKEN',
  resumed: false,
  sent: 0,
  received: 0,
  heartbeat: 1000,
  ackAfter: { messages: 3, bytes: 1000, idle: 4000 },
  maxPayload: 100,
};

/** A `fetch` that the test answers, request by request. */
export function scriptFetch() {
  const waiting: PendingRequest[] = [];

  function fetch(url: string, init: RequestInit): Promise<Response> {
    return new Promise((resolve, reject) => {
      const { signal } = init;
      const method = init.method ?? 'GET';
      signal?.addEventListener('abort', () => reject(signal.reason as Error));
      const pending: PendingRequest = {
        url: new URL(url),
        method,
        headers: init.headers as Record<string, string>,
        init,
        body: typeof init.body === 'string' ? (JSON.parse(init.body) as unknown) : undefined,
        isAborted: () => signal?.aborted ?? false,
        answer: (status, body = {}, headers = {}) =>
          resolve(new Response(JSON.stringify(body), { status, headers })),
        fail: () => reject(new TypeError('fetch failed')),
        stream(headers = { 'Sse-Protocol': '2' }) {
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
          const stream = pending.stream();
          stream.write(`event: hello\ndata: ${JSON.stringify({ ...HELLO, ...fields })}\n\n`);
          return stream;
        },
      };
      waiting.push(pending);
    });
  }

  /** The next request of the method, in the order in which they came. */
  async function next(method: 'GET' | 'POST'): Promise<PendingRequest> {
    const find = () => waiting.findIndex((pending) => pending.method === method);
    await waitFor(() => find() >= 0);
    return waiting.splice(find(), 1)[0]!;
  }

  return { fetch, next, waiting: () => waiting.length };
}
