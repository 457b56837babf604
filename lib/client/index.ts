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
