import { appendFileSync } from 'node:fs';
import type { SseOptions } from '../../../lib/index';
import { openServer } from '../open-server';

/**
 * A server to be killed or stopped: writes down each message before anything else, and sends a count
 * to everybody, again and again. On SIGTERM it says good-bye and ends, by itself.
 *
 * Arguments: port, the file to write to, options as JSON, milliseconds between two counts, and whether to
 * wait for `listen` first.
 */
async function main(): Promise<void> {
  const [port, file, options, interval, isNext] = process.argv.slice(2) as [
    string,
    string,
    string,
    string,
    string?,
  ];
  if (isNext) {
    process.send!('waiting');
    await new Promise((resolve) => process.once('message', resolve));
  }
  const {
    sse,
    server,
    port: own,
  } = await openServer(JSON.parse(options) as SseOptions, Number(port));
  sse.on('connection', (connection) => {
    if (isNext) process.send!(Date.now());
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
  process.send!(own);
}

void main();
