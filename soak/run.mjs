// The long versions of the delivery tests: `npm run soak`, or `npm run soak chaos` for one of them.
// SEED=n replays a random one. Exits with 1 when a figure is not met.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { buildSync } from 'esbuild';

// Where Node finds the packages that stay outside the bundle.
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
