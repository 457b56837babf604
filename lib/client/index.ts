export { SseClient } from './sse-client';
export type { SseClientEventMap } from './sse-client';
export type { SseClientOptions } from './options';
