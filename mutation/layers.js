'use strict';

const server =
  /^server\/(s|batch|binary|receiver|diagnostics|rooms|poll-stream|request-handler).*\.test\.ts$/;

/**
 * For each layer, the files to mutate, and the test files in `__tests__` that must detect the mutations, in the order in
 * which they run. `waitLimit` is that of `waitFor`, in milliseconds.
 */
module.exports = {
  protocol: { mutate: ['lib/protocol/*.ts'], tests: [/^protocol\/.*\.test\.ts$/], waitLimit: 500 },
  server: {
    mutate: ['lib/server/{sender,send-buffer,batch}.ts'],
    tests: [server],
    waitLimit: 500,
  },
  session: {
    mutate: ['lib/server/{session,receiver}.ts'],
    // The tests of several nodes are slow, and come last: most mutations are detected before.
    tests: [server, /^server\/cluster\.test\.ts$/],
    waitLimit: 1_500, // a node repeats a failed call after a second
  },
  client: {
    mutate: ['lib/client/*.ts', '!lib/client/{index,global,options}.ts'],
    tests: [/^client\/(?!size|dart).*\.test\.ts$/],
    waitLimit: 500,
  },
};
