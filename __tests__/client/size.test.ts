import { gzipSync } from 'node:zlib';

/** What the build, and jest.config.js, put into the server. */
declare const SSE_CLIENT_SCRIPT: string;

test('the drop-in client, all of it, is under 4,096 bytes', () => {
  expect(SSE_CLIENT_SCRIPT).toContain('SseClient');
  expect(gzipSync(SSE_CLIENT_SCRIPT, { level: 9 }).length).toBeLessThan(4096);
});
