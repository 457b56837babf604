'use strict';

const { buildClientScript } = require('./scripts/build-client');

module.exports = {
  entry: { index: 'lib/index.ts', 'client/index': 'lib/client/index.ts' },
  format: ['cjs', 'esm'],
  target: 'es2022',
  splitting: false,
  dts: true,
  clean: true,
  define: { SSE_CLIENT_SCRIPT: JSON.stringify(buildClientScript()) },
};
