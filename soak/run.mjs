// Runs the long versions of the tests, and the measurements in wall-clock time: builds and starts
// __tests__/delivery/soak.ts, which reads the arguments.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { buildSync } from 'esbuild';

// In this folder Node finds the packages that are not bundled.
const folder = `node_modules/.cache/sse-duplex/soak-${process.pid}`;
const outfile = `${folder}/soak.js`;
buildSync({
  entryPoints: ['__tests__/delivery/soak.ts'],
  outfile,
  bundle: true,
  platform: 'node',
  packages: 'external',
  define: { SSE_CLIENT_SCRIPT: '""' },
});
const { status } = spawnSync(process.execPath, ['--expose-gc', outfile, ...process.argv.slice(2)], {
  stdio: 'inherit',
});
rmSync(folder, { recursive: true });
process.exitCode = status ?? 1;
