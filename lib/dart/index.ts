/**
 * The client for servers that use Dart's `package:sse`.
 *
 * @module sse-duplex/dart
 */
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
