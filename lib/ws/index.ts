/**
 * The server with the interface of the package `ws`, for libraries that accept its connections.
 *
 * @module sse-duplex/ws
 */
export { SseWebSocketServer } from './sse-web-socket-server';
export type { SseWebSocketServerEvents, SseWebSocketServerOptions } from './sse-web-socket-server';
export { SseServerSocket } from './socket';
export type {
  BinaryType,
  SendCallback,
  SendOptions,
  SocketData,
  SseServerSocketEvents,
} from './socket';
export type {
  SocketEvent,
  SocketEventListener,
  SocketEventListenerObject,
  SocketEventMap,
  SocketListenerOptions,
} from './event-listeners';
