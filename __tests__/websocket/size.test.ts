import { gzipSync } from 'node:zlib';
import { buildSync } from 'esbuild';

/** Returns the size in bytes of a bundle that exports all of these entries, when gzipped. */
function sizeOf(...entries: string[]): number {
  const { outputFiles } = buildSync({
    stdin: {
      contents: entries.map((entry) => `export * from './lib/${entry}';`).join('\n'),
      resolveDir: process.cwd(),
      loader: 'ts',
    },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
  });
  return gzipSync(outputFiles[0]!.contents, { level: 9 }).length;
}

test('SseWebSocket adds less than 2 KiB to a bundle with the client, when gzipped', () => {
  const client = sizeOf('client');
  expect(client).toBeGreaterThan(5_000);
  expect(sizeOf('client', 'websocket') - client).toBeLessThan(2_048);
});
