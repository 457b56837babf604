import { gzipSync } from 'node:zlib';

/** What the build, and jest.config.js, put into the server. */
declare const SSE_CLIENT_SCRIPT: string;

test('The drop-in script has less than 6,912 bytes when gzipped', () => {
  expect(SSE_CLIENT_SCRIPT).toContain('SseClient');
  expect(gzipSync(SSE_CLIENT_SCRIPT, { level: 9 }).length).toBeLessThan(6912);
});
