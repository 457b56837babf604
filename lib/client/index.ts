export { SseClient } from './sse-client';
export type { SessionEndEvent, SseClientEventMap } from './sse-client';
export type { SseClientOptions } from './options';
