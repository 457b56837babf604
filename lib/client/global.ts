import { SseClient } from './sse-client';

// The drop-in script: `<script src="/sse/client.js">` defines a global.
(globalThis as { SseClient?: typeof SseClient }).SseClient = SseClient;

export {};
