/**
 * The client with the interface of a browser's `WebSocket`, for libraries that accept a WebSocket class.
 *
 * @module sse-duplex/websocket
 */
export { SseWebSocket } from './sse-web-socket';
export type {
  SseWebSocketData,
  SseWebSocketEventMap,
  SseWebSocketOptions,
  SseWebSocketTarget,
} from './sse-web-socket';
export type { SseWebSocketCloseEvent } from './close-event';
export type { SseListenerOptions, SseMessageEvent } from '../client/events';
export type { RequestHeaders, Transport } from '../client/options';
