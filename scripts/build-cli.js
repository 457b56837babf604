'use strict';

// Writes the command `sse-duplex` to dist/cli/index.js. It loads the server and the client that tsup has built.

const { buildSync } = require('esbuild');
const { join } = require('node:path');

const ROOT = join(__dirname, '..');

buildSync({
  entryPoints: [join(ROOT, 'lib/cli/index.ts')],
  outfile: join(ROOT, 'dist/cli/index.js'),
  bundle: true,
  platform: 'node',
  target: 'es2022',
  external: ['../index', '../client/index'],
});
