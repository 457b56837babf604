export { SseClient } from './sse-client';
export type {
  SessionEndEvent,
  SseClientDisconnectEvent,
  SseClientErrorEvent,
  SseClientEventMap,
} from './events';
export type { SseClientOptions } from './options';
