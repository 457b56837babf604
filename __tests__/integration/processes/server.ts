import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createSseMiddleware } from '../../../lib/index';
import type { SseOptions } from '../../../lib/index';

/**
 * A server that echoes messages. It responds to each message of its parent process with its resident
 * memory in bytes.
 *
 * Argument: options as JSON.
 */
async function main(): Promise<void> {
  const sse = createSseMiddleware('/sse', JSON.parse(process.argv[2]!) as SseOptions);
  sse.on('connection', (connection) => {
    connection.on('message', (message) => connection.send(message));
  });
  process.on('message', () => {
    gc?.();
    process.send!(process.memoryUsage.rss());
  });
  process.once('disconnect', () => process.exit());
  const server = createServer((request, response) => sse(request, response, () => {}));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  process.send!((server.address() as AddressInfo).port);
}

void main();
