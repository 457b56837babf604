import { Readable } from 'node:stream';
import nodeFetch from 'node-fetch';
import { SseClient } from 'sse-duplex/client';
import { exchange } from './exchange.mjs';

const [url] = process.argv.slice(2);

/** The `fetch` of node-fetch has Node streams as bodies, which a client rejects once and for all. */
const rejected = new SseClient(url, { fetch: nodeFetch });
const { reason } = await new Promise((resolve) => (rejected.onclose = resolve));

/** With a Web Stream as the body, it can be used. */
async function fetch(target, init) {
  const { body, status, headers } = await nodeFetch(target, init);
  return new Response(Readable.toWeb(body), { status, headers: [...headers] });
}
const result = await exchange(SseClient, url, { fetch });
console.log(JSON.stringify({ ...result, rejection: reason }));
