// Mutation tests of the files that implement the guarantees.
import { spawnSync } from 'node:child_process';
import { parseCommandLine } from '../scripts/command-line.mjs';
import layers from './layers.js';

const VERSION = '9.6.1';
const packages = ['core', 'jest-runner'].flatMap((name) => [
  '-p',
  `@stryker-mutator/${name}@${VERSION}`,
]);

const known = Object.keys(layers);
const USAGE = `Mutates the files that implement the guarantees, one expression at a time, and reports how many
mutations the tests detect.

  npm run mutate          all layers
  npm run mutate server   one layer

Exits with 1 if the score is too low.

Layers: ${known.join(', ')}`;

const { names } = parseCommandLine('npm run mutate', USAGE, known);
const chosen = names.length > 0 ? names : known;
for (const layer of chosen) {
  const { status } = spawnSync(
    'npx',
    ['-y', ...packages, 'stryker', 'run', 'mutation/stryker.config.mjs'],
    {
      stdio: 'inherit',
      env: { ...process.env, LAYER: layer, WAIT_LIMIT: String(layers[layer].waitLimit) },
    },
  );
  if (status !== 0) process.exitCode = 1;
}
