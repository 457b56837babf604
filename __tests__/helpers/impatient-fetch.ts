/**
 * A `fetch` that aborts a request without a response sooner than the client would, so that a test with many
 * black holes ends. It does not limit an open stream.
 */
export function impatientFetch(milliseconds: number) {
  return async (url: string, init: RequestInit): Promise<Response> => {
    // In Node 20 the result of `AbortSignal.any` may be garbage-collected before it is aborted.
    const controller = new AbortController();
    const giveUp = () => controller.abort();
    init.signal?.addEventListener('abort', giveUp);
    const timer = setTimeout(giveUp, milliseconds);
    try {
      const response = await fetch(url, { ...init, signal: controller.signal });
      if (init.method !== 'POST') return response;
      const { status, headers } = response;
      return new Response(await response.text(), { status, headers });
    } finally {
      clearTimeout(timer);
    }
  };
}
