import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';

const DIST = new URL('../../dist/', import.meta.url);

/** Returns a function that opens the package's own client with a transport. */
export const sseClient =
  (transport) =>
  async (origin, id, onMessages, build = DIST) => {
    const { SseClient } = await import(new URL('client/index.mjs', build));
    const client = new SseClient(`${origin}/sse`, { transport });
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
  };
