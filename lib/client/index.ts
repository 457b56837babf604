/**
 * The client for pages, workers and Node.
 *
 * @module sse-duplex/client
 */
export { SseClient } from './sse-client';
export type {
  SessionEndEvent,
  SseClientDisconnectEvent,
  SseClientErrorEvent,
  SseClientEventMap,
  Listener,
  SseListenerOptions,
  SseMessageEvent,
} from './events';
export type { RequestHeaders, SseClientOptions, Transport } from './options';
