type Fetch = (url: string, init: RequestInit) => Promise<Response>;
type Method = 'GET' | 'POST';

/** A response that is not from the server: of a login page, a gateway or a rate limiter. */
export interface ForeignResponse {
  status: number;
  body: string;
  type: string;
}

/** What a middlebox does to the next request of a method. */
export type Interference = { method: Method } & (
  | {
      kind: 'answer';
      response: ForeignResponse;
      /** Whether the server receives the request nevertheless. */
      reachesServer: boolean;
    }
  /** Answers with the last response to the same URL, as a cache that ignores `no-store`. */
  | { kind: 'cached' }
  /** Removes the header `Last-Event-ID`. */
  | { kind: 'stripped' }
);

/** A proxy, a gateway or a cache that answers in the server's place. */
export class Middlebox {
  /** Whether responses are held back until they are complete. */
  isBuffering = false;
  readonly #fetch: Fetch;
  readonly #plans: Interference[] = [];
  /** The last response to each method and URL, as far as it was read. */
  readonly #cache = new Map<string, { response: Response; text: string }>();
  #portal: { response: ForeignResponse; until: number } | undefined;

  constructor(fetch: Fetch) {
    this.#fetch = fetch;
  }

  plan(interference: Interference): void {
    this.#plans.push(interference);
  }

  /** Answers all requests with the same response for a while, as a captive portal. */
  capture(response: ForeignResponse, milliseconds: number): void {
    this.#portal = { response, until: performance.now() + milliseconds };
  }

  /** Interferes with no more requests. */
  heal(): void {
    this.#plans.length = 0;
    this.#portal = undefined;
    this.isBuffering = false;
  }

  readonly fetch: Fetch = async (url, init) => {
    const method = (init.method ?? 'GET') as Method;
    if (this.#portal && performance.now() < this.#portal.until) {
      return foreign(this.#portal.response);
    }
    const at = this.#plans.findIndex((plan) => plan.method === method);
    const [plan] = at < 0 ? [] : this.#plans.splice(at, 1);
    if (plan?.kind === 'answer') {
      if (plan.reachesServer) void this.#discard(url, init);
      return foreign(plan.response);
    }
    if (plan?.kind === 'cached') {
      const cached = this.#cache.get(`${method} ${url}`);
      if (cached) return copy(cached.response, cached.text);
    }
    if (plan?.kind === 'stripped') {
      const headers = { ...(init.headers as Record<string, string>) };
      delete headers['Last-Event-ID'];
      return this.#forward(url, { ...init, headers });
    }
    return this.#forward(url, init);
  };

  async #forward(url: string, init: RequestInit): Promise<Response> {
    const response = await this.#fetch(url, init);
    if (this.isBuffering) return copy(response, await response.text());
    if (!response.body) return response;
    const entry = { response, text: '' };
    this.#cache.set(`${init.method ?? 'GET'} ${url}`, entry);
    const decoder = new TextDecoder();
    const recorder = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        entry.text += decoder.decode(chunk, { stream: true });
        controller.enqueue(chunk);
      },
    });
    return copy(response, response.body.pipeThrough(recorder));
  }

  /** Sends a request to the server, and discards the response. */
  async #discard(url: string, init: RequestInit): Promise<void> {
    const controller = new AbortController();
    try {
      const response = await this.#fetch(url, { ...init, signal: controller.signal });
      response.body?.getReader().closed.catch(() => {}); // it is aborted below
    } catch {
      // The network has failed.
    }
    controller.abort();
  }
}

function foreign({ status, body, type }: ForeignResponse): Response {
  return new Response(status === 204 ? null : body, { status, headers: { 'Content-Type': type } });
}

function copy({ status, headers }: Response, body: BodyInit): Response {
  return new Response(body, { status, headers });
}
