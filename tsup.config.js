'use strict';

const { buildClientScript } = require('./scripts/build-client');

module.exports = {
  entry: {
    index: 'lib/index.ts',
    'client/index': 'lib/client/index.ts',
    'dart/index': 'lib/dart/index.ts',
    'redis/index': 'lib/redis/index.ts',
    'websocket/index': 'lib/websocket/index.ts',
    'ws/index': 'lib/ws/index.ts',
  },
  format: ['cjs', 'esm'],
  target: 'es2022',
  splitting: false,
  sourcemap: true,
  clean: true,
  define: { SSE_CLIENT_SCRIPT: JSON.stringify(buildClientScript()) },
  esbuildOptions(options) {
    // The package contains lib, to which the source maps refer.
    options.sourcesContent = false;
  },
};
