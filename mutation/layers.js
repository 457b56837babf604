'use strict';

/** For each layer, the files to mutate, and the test files in `__tests__` that must detect the mutations. */
module.exports = {
  protocol: { mutate: ['lib/protocol/*.ts'], tests: /^protocol\/.*\.test\.ts$/ },
  server: {
    mutate: ['lib/server/{session,sender,receiver,send-buffer,batch}.ts'],
    tests: /^server\/(s|batch|binary|receiver|diagnostics|rooms).*\.test\.ts$/,
  },
  client: {
    mutate: ['lib/client/*.ts', '!lib/client/{index,global,options}.ts'],
    tests: /^client\/(?!size|dart).*\.test\.ts$/,
  },
};
