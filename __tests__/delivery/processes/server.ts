import { appendFileSync } from 'node:fs';
import type { SseOptions } from '../../../lib/index';
import { openServer } from '../open-server';

/**
 * The server of the kill and stop tests. It appends each message to a file and broadcasts a counter.
 * On SIGTERM it broadcasts `last` and shuts down gracefully.
 *
 * Arguments: port, file, options as JSON, milliseconds between two broadcasts.
 */
async function main(): Promise<void> {
  const args = process.argv.slice(2) as [string, string, string, string];
  const [port, file, options, interval] = args;
  const opened = await openServer(JSON.parse(options) as SseOptions, Number(port));
  const { sse, server } = opened;
  sse.on('connection', (connection) => {
    connection.on('message', (message) => appendFileSync(file, `${JSON.stringify(message)}\n`));
  });
  const orphaned = () => process.exit();
  process.once('disconnect', orphaned);
  let count = 0;
  const timer = setInterval(() => sse.broadcast(count++), Number(interval));
  process.once('SIGTERM', () => {
    clearInterval(timer);
    sse.broadcast('last');
    void sse.close().then(() => {
      server.close();
      process.off('disconnect', orphaned).disconnect();
    });
  });
  process.send!(opened.port);
}

void main();
