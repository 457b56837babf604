import { createTRPCClient, createWSClient, wsLink } from '@trpc/client';
import { initTRPC } from '@trpc/server';
import { applyWSSHandler } from '@trpc/server/adapters/ws';
import { run } from '../harness.mjs';

const t = initTRPC.create();
const router = t.router({
  double: t.procedure.input((value) => value).mutation(({ input }) => 2 * input),
  numbers: t.procedure
    .input((value) => value)
    .subscription(async function* ({ input }) {
      for (let n = 0; n < input; n++) yield n;
    }),
});

await run(
  (wss) => {
    applyWSSHandler({ wss, router });
  },
  async (url, SseWebSocket, goesOn) => {
    const client = createTRPCClient({
      links: [wsLink({ client: createWSClient({ url, WebSocket: SseWebSocket }) })],
    });
    let faults = 0;
    let count = 0;
    while (goesOn()) {
      const numbers = await new Promise((resolve, reject) => {
        const all = [];
        client.numbers.subscribe(50, {
          onData: (n) => all.push(n),
          onComplete: () => resolve(all),
          onError: reject,
        });
      });
      if (numbers.join() !== [...Array(50).keys()].join()) faults++;
      if ((await client.double.mutate(count)) !== 2 * count) faults++;
      count++;
    }
    return { count, faults };
  },
);
