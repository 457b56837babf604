import { buildSchema } from 'graphql';
import { createClient } from 'graphql-ws';
import { useServer } from 'graphql-ws/use/ws';
import { run } from '../harness.mjs';

const schema = buildSchema(
  'type Query { double(n: Int!): Int } type Subscription { numbers(to: Int!): Int }',
);
const roots = {
  query: { double: ({ n }) => 2 * n },
  subscription: {
    async *numbers({ to }) {
      for (let n = 0; n < to; n++) yield { numbers: n };
    },
  },
};

await run(
  (wss) => {
    useServer({ schema, roots }, wss);
  },
  async (url, SseWebSocket, goesOn) => {
    const client = createClient({ url, webSocketImpl: SseWebSocket, lazyCloseTimeout: 60_000 });
    async function results(query) {
      const all = [];
      for await (const each of client.iterate({ query })) all.push(each);
      return all;
    }
    let faults = 0;
    let count = 0;
    while (goesOn()) {
      const numbers = await results('subscription { numbers(to: 50) }');
      if (numbers.map(({ data }) => data.numbers).join() !== [...Array(50).keys()].join()) faults++;
      const [{ data }] = await results(`{ double(n: ${count}) }`);
      if (data.double !== 2 * count) faults++;
      count++;
    }
    return { count, faults };
  },
);
