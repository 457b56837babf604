/**
 * A `fetch` that gives up a request without an answer sooner than the client would, so that a test of
 * many black holes ends. A stream, once it is open, is the client's to watch.
 */
export function impatientFetch(milliseconds: number) {
  return async (url: string, init: RequestInit): Promise<Response> => {
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), milliseconds);
    const signals = init.signal ? [patience.signal, init.signal] : [patience.signal];
    try {
      const response = await fetch(url, { ...init, signal: AbortSignal.any(signals) });
      if (init.method !== 'POST') return response;
      const { status, headers } = response;
      return new Response(await response.text(), { status, headers });
    } finally {
      clearTimeout(timer);
    }
  };
}
