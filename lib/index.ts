export { createSseMiddleware } from './server/create-sse-middleware';
export type {
  SseConnections,
  SseMiddleware,
  SseMiddlewareEvents,
  SseStats,
} from './server/create-sse-middleware';
export { SseConnection } from './server/sse-connection';
export type { ReadyState, SseConnectionEvents, CloseDetails } from './server/sse-connection';
export type { SseConnectionDiagnostic, SseDiagnostics } from './server/diagnostics';
export type { SseOptions } from './server/options';
export { SseRequestError } from './server/request-error';
export type { SseErrorCode } from './protocol/wire';
