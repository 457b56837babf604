import { SseClient } from 'sse-duplex/client';
import { exchange } from './exchange.mjs';

export default {
  /** Answers a request with the result of an exchange with the server at its query. */
  async fetch(request) {
    return Response.json(await exchange(SseClient, new URL(request.url).searchParams.get('url')));
  },
};
