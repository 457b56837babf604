'use strict';

// Writes the type declarations and their maps to dist/. tsup bundles declarations, but it cannot write
// maps for them; tsc can. With the maps, "go to definition" in an editor opens the source in lib/.

const { execFileSync } = require('node:child_process');
const { writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { entry } = require('../tsup.config');

const ROOT = join(__dirname, '..');

const tsc = require.resolve('typescript/bin/tsc');
const project = join(__dirname, 'tsconfig.types.json');
execFileSync(process.execPath, [tsc, '--project', project], { stdio: 'inherit' });

// An ES module needs declarations of its own format (.d.mts). They re-export the CommonJS ones, so that
// both formats share their types.
for (const name of Object.keys(entry)) {
  writeFileSync(join(ROOT, `dist/${name}.d.mts`), "export * from './index.js';\n");
}
