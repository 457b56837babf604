export { createSseMiddleware } from './server/create-sse-middleware';
export type {
  SseConnections,
  SseMiddleware,
  SseMiddlewareEvents,
  SseStats,
} from './server/create-sse-middleware';
export { SseConnection } from './server/sse-connection';
export type { ReadyState, SseConnectionEvents, Unconfirmed } from './server/sse-connection';
export type { SseConnectionDiagnostic, SseDiagnostics } from './server/diagnostics';
export type { SseOptions } from './server/options';
export { SseRequestError } from './server/request-fault';
export type { FaultCode } from './protocol/wire';
