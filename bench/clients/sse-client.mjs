import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SseClient } from '../../dist/client/index.mjs';

/** The package's own. */
export async function sseClient(origin, id, onMessages) {
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
