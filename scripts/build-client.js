'use strict';

// Builds the drop-in script. `npm run build` writes it to dist/; jest.config.js gives it to the tests.

const { writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { buildSync } = require('esbuild');
const { minify_sync: minify } = require('terser');

const ROOT = join(__dirname, '..');

/** Returns the whole client as one minified script, which the middleware serves at `<path>/client.js`. */
function buildClientScript() {
  const { outputFiles } = buildSync({
    entryPoints: [join(ROOT, 'lib/client/global.ts')],
    bundle: true,
    minifySyntax: true,
    format: 'iife',
    target: 'es2022',
    write: false,
  });
  return minify(outputFiles[0].text, {
    compress: {
      passes: 5,
      unsafe: true, // allows `Error()` instead of `new Error()`, for example
      unsafe_arrows: true,
      keep_fargs: false,
      unsafe_comps: true,
      // More of these would make the script shorter, but its gzip longer.
      sequences: false,
      inline: 1,
    },
    mangle: { toplevel: true },
    ecma: 2020,
    module: true, // strict mode, and no top-level names in the page's scope
  }).code;
}

/** Type declarations of the global that the script defines. */
const TYPES = `import type { SseClient as Client } from './client/index';

declare global {
  const SseClient: typeof Client;
}
`;

if (require.main === module) {
  writeFileSync(join(ROOT, 'dist/client.js'), buildClientScript());
  writeFileSync(join(ROOT, 'dist/client.d.ts'), TYPES);
}

module.exports = { buildClientScript };
