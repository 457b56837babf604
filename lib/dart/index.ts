export { DartSseClient } from './dart-sse-client';
export type { DartSseClientOptions } from './dart-sse-client';
export type {
  SessionEndEvent,
  SseClientDisconnectEvent,
  SseClientErrorEvent,
  SseClientEventMap,
} from '../client/events';
