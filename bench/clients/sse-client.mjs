import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';

const DIST = new URL('../../dist/', import.meta.url);

/** Opens the package's own client. */
export async function sseClient(origin, id, onMessages, build = DIST) {
  const { SseClient } = await import(new URL('client/index.mjs', build));
  const client = new SseClient(`${origin}/sse`);
  client.onmessage = () => onMessages(1);
  await once(client, 'open');
  return {
    send(message) {
      client.send(message);
      return nextTurn();
    },
    async close() {
      client.close();
      await once(client, 'close');
    },
    cut: () => client.close(),
  };
}
