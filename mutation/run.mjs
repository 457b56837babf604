// Mutates the files that implement the guarantees, one expression at a time, and reports how many mutations
// the tests detect: `npm run mutate`, or `npm run mutate server` for one layer. Exits with 1 if the score is
// too low.
import { spawnSync } from 'node:child_process';
import layers from './layers.js';

const VERSION = '9.6.1';
const packages = ['core', 'jest-runner'].flatMap((name) => [
  '-p',
  `@stryker-mutator/${name}@${VERSION}`,
]);

const chosen = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(layers);
for (const layer of chosen) {
  const { status } = spawnSync(
    'npx',
    ['-y', ...packages, 'stryker', 'run', 'mutation/stryker.config.mjs'],
    { stdio: 'inherit', env: { ...process.env, LAYER: layer } },
  );
  if (status !== 0) process.exitCode = 1;
}
