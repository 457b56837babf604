import { SseClient } from '../../lib/client/index';
import type { SseClientEventMap, SseClientOptions } from '../../lib/client/index';
import { onTestFinished } from './on-test-finished';
import { waitFor } from './wait-for';

/**
 * Opens a client that retries after 5 ms. When the test is finished, it gets responses that acknowledge
 * everything, so that it can close.
 */
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

/** Records the client's events of one type. */
export function eventsOf<Type extends keyof SseClientEventMap>(
  client: SseClient,
  type: Type,
): SseClientEventMap[Type][] {
  const events: SseClientEventMap[Type][] = [];
  client.addEventListener(type, (event) => events.push(event));
  return events;
}

/** Records the data of the client's messages. */
export function messagesOf(client: SseClient): unknown[] {
  const messages: unknown[] = [];
  client.addEventListener('message', ({ data }) => messages.push(data));
  return messages;
}

/** Waits for the next event of one type. */
export function next<Type extends keyof SseClientEventMap>(
  client: SseClient,
  type: Type,
): Promise<SseClientEventMap[Type]> {
  return new Promise((resolve) => client.addEventListener(type, resolve, { once: true }));
}
