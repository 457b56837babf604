import type { SseClientOptions } from '../../lib/client/index';
import { next, openClient } from './client';
import { scriptFetch } from './scripted-fetch';

export const URL_ = 'http://channel.example/sse';

/** An SseClient whose requests the test answers one by one. */
export function start(options: SseClientOptions = {}) {
  const script = scriptFetch();
  const client = openClient(URL_, { ...options, fetch: script.fetch });
  return { ...script, client };
}

/** The same, with an open stream. */
export async function startOpen(options: SseClientOptions = {}, fields: object = {}) {
  const all = start(options);
  const get = await all.next('GET');
  const stream = get.hello(fields);
  await next(all.client, 'open');
  return { ...all, get, stream };
}

/** A message, as the server writes it. */
export const message = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;
/** A heartbeat, as the server writes it. */
export const ping = (sent: number, received: number) =>
  `event: ping\ndata: ${JSON.stringify({ sent, received })}\n\n`;
