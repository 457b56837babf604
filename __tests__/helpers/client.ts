import { SseClient } from '../../lib/client/index';
import type { SseClientEventMap, SseClientOptions } from '../../lib/client/index';
import { DartSseClient } from '../../lib/dart/index';
import type { DartSseClientOptions } from '../../lib/dart/index';
import { onTestFinished } from './on-test-finished';
import { waitFor } from './wait-for';

/** Opens a client that retries after 5 ms. At the end of the test it is closed. */
export function openClient(url: string, options: SseClientOptions = {}): SseClient {
  const { fetchUntilEnd, end } = endableFetch(options.fetch);
  const client = new SseClient(url, { backoff: () => 5, ...options, fetch: fetchUntilEnd });
  closeAfterTest(client, end);
  return client;
}

/** Opens a client for Dart's server, in the same way. */
export function openDartClient(url: string, options: DartSseClientOptions = {}): DartSseClient {
  const { fetchUntilEnd, end } = endableFetch(options.fetch);
  const client = new DartSseClient(url, { backoff: () => 5, ...options, fetch: fetchUntilEnd });
  closeAfterTest(client, end);
  return client;
}

/** A `fetch` that answers every request with a final error, once `end` has been called. */
function endableFetch(fetch: NonNullable<SseClientOptions['fetch']> = globalThis.fetch) {
  let end = () => {};
  const ended = new Promise<void>((resolve) => (end = resolve));
  const fetchUntilEnd: typeof fetch = (target, init) => {
    const error = { code: 'forbidden', message: 'the test has ended' };
    const response = ended.then(() => new Response(JSON.stringify(error), { status: 403 }));
    return Promise.race([fetch(target, init), response]);
  };
  return { fetchUntilEnd, end };
}

function closeAfterTest(client: SseClient | DartSseClient, end: () => void): void {
  client.addEventListener('error', () => {}); // else it is written to the console
  onTestFinished(async () => {
    end();
    if (client.readyState < SseClient.CLOSING) client.close();
    await waitFor(() => client.readyState === SseClient.CLOSED);
  });
}

/** Records the client's events of a type. */
export function eventsOf<Type extends keyof SseClientEventMap>(
  client: SseClient | DartSseClient,
  type: Type,
): SseClientEventMap[Type][] {
  const events: SseClientEventMap[Type][] = [];
  client.addEventListener(type, (event) => events.push(event));
  return events;
}

/** Records the client's messages. */
export function messagesOf(client: SseClient | DartSseClient): unknown[] {
  const messages: unknown[] = [];
  client.addEventListener('message', ({ data }) => messages.push(data));
  return messages;
}

/** Resolves with the next event of a type. */
export function next<Type extends keyof SseClientEventMap>(
  client: SseClient | DartSseClient,
  type: Type,
): Promise<SseClientEventMap[Type]> {
  return new Promise((resolve) => client.addEventListener(type, resolve, { once: true }));
}
