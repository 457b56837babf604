import { SseClient } from './sse-client';

// The drop-in script: `<script src="/sse/client.js">` defines a global.
Object.assign(globalThis, { SseClient });

export {};
