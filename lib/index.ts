/**
 * The server: the middleware for Express and for other frameworks, and the interface of the storage of a cluster.
 *
 * @module sse-duplex
 */
export { createSseMiddleware } from './server/create-sse-middleware';
export type {
  SseMiddleware,
  SseMiddlewareEvents,
  SseRoom,
  SseRoomOptions,
  SseSessionReference,
} from './server/create-sse-middleware';
export type { SseConnections, SseStats } from './server/session-registry';
export { SseConnection } from './server/sse-connection';
export type { ReadyState } from './server/sse-connection';
export type { CloseDetails, MessageDetails, SseConnectionEvents } from './server/connection-events';
export type { SseConnectionDiagnostic, SseDiagnostics } from './server/diagnostics';
export type * from './server/cluster-engine';
export type { SseOptions } from './server/options';
export { SseRequestError } from './server/request-error';
export type { SseErrorCode } from './protocol/wire';
