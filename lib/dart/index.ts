export { DartSseClient } from './dart-sse-client';
export type { DartSseClientOptions } from './dart-sse-client';
export type {
  SessionEndEvent,
  SseClientDisconnectEvent,
  SseClientErrorEvent,
  SseClientEventMap,
  SseListenerOptions,
  SseMessageEvent,
} from '../client/events';
export type { RequestHeaders } from '../client/options';
