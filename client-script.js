'use strict';

const { writeFileSync } = require('node:fs');
const { buildSync } = require('esbuild');
const { minify_sync: minify } = require('terser');

/** The drop-in client: all of it in one script, which the middleware serves. */
function buildClientScript() {
  const { outputFiles } = buildSync({
    entryPoints: [`${__dirname}/lib/client/script.ts`],
    bundle: true,
    format: 'iife',
    target: 'es2022',
    write: false,
  });
  return minify(outputFiles[0].text, {
    compress: {
      passes: 5,
      unsafe: true, // `Error()` for `new Error()`, and the like
      unsafe_arrows: true,
      keep_fargs: false,
      conditionals: false,
      lhs_constants: false,
    },
    mangle: { toplevel: true },
    ecma: 2020,
    module: true, // strict, and no page's variable is ours
  }).code;
}

/** The types of the global that the script defines. */
const TYPES = `import type { SseClient as Client } from './client/index';

declare global {
  const SseClient: typeof Client;
}
`;

if (require.main === module) {
  writeFileSync(`${__dirname}/dist/client.js`, buildClientScript());
  writeFileSync(`${__dirname}/dist/client.d.ts`, TYPES);
}

module.exports = { buildClientScript };
