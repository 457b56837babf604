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
