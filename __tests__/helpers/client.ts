import { SseClient } from '../../lib/client/index';
import type { SseClientEventMap, SseClientOptions } from '../../lib/client/index';
import { onTestFinished } from './on-test-finished';
import { waitFor } from './wait-for';

/** A client that tries again soon, and ends with the test: by then a server takes all it has. */
export function openClient(url: string, options: SseClientOptions = {}): SseClient {
  let end = () => {};
  const over = new Promise<void>((resolve) => (end = resolve));
  const { fetch = globalThis.fetch } = options;
  const client = new SseClient(url, {
    backoff: () => 5,
    ...options,
    fetch: (target, init) => {
      const status = init.method === 'POST' ? 200 : 403;
      const last = over.then(() => new Response('{"received":1000000000}', { status }));
      return Promise.race([fetch(target, init), last]);
    },
  });
  onTestFinished(async () => {
    end();
    if (client.readyState < SseClient.CLOSING) client.close();
    await waitFor(() => client.readyState === SseClient.CLOSED);
  });
  return client;
}

/** The client's events of a type, as they come. */
export function eventsOf<Type extends keyof SseClientEventMap>(
  client: SseClient,
  type: Type,
): SseClientEventMap[Type][] {
  const events: SseClientEventMap[Type][] = [];
  client.addEventListener(type, (event) => events.push(event));
  return events;
}

/** What the client's messages hold. */
export function messagesOf(client: SseClient): unknown[] {
  const messages: unknown[] = [];
  client.addEventListener('message', ({ data }) => messages.push(data));
  return messages;
}

/** The next event of a type. */
export function next<Type extends keyof SseClientEventMap>(
  client: SseClient,
  type: Type,
): Promise<SseClientEventMap[Type]> {
  return new Promise((resolve) => client.addEventListener(type, resolve, { once: true }));
}
