/**
 * A `fetch` that gives up a request without an answer sooner than the client would, so that a test of
 * many black holes ends. A stream, once it is open, is the client's to watch.
 */
export function impatientFetch(milliseconds: number) {
  return async (url: string, init: RequestInit): Promise<Response> => {
    // Not `AbortSignal.any`: in Node 20 what it returns may be collected before it is aborted.
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
