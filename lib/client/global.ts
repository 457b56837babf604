import { SseClient } from './sse-client';

// The drop-in script: `<script src="/sse/client.js">` defines the global `SseClient`.
Object.assign(globalThis, { SseClient });

export {};
