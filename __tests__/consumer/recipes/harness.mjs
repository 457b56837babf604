import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSseMiddleware } from 'sse-duplex';
import { SseClient } from 'sse-duplex/client';

/** Starts a channel on a free port. */
export async function openChannel(options = {}) {
  const sse = createSseMiddleware('/sse', { drainTimeout: 100, ...options });
  const server = createServer((request, response) => sse(request, response, () => response.end()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${server.address().port}/sse`;
  const clients = [];
  /** Opens a client that records its messages. */
  const open = async (clientOptions) => {
    const client = new SseClient(url, { backoff: () => 5, ...clientOptions });
    client.onerror = () => {};
    clients.push(client);
    const messages = [];
    client.addEventListener('message', ({ data }) => messages.push(data));
    await new Promise((resolve) => client.addEventListener('open', resolve, { once: true }));
    return { client, messages };
  };
  const close = async () => {
    for (const client of clients) client.close();
    await sse.close(1001);
    server.close();
    server.closeAllConnections();
  };
  return { sse, server, url, open, close };
}

/** Resolves when a condition is true. Rejects after 10 s. */
export async function until(condition, show = () => '') {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > deadline)
      throw new Error(`still not so: ${condition} ${JSON.stringify(show())}`);
    await sleep(5);
  }
}
