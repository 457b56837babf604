'use strict';

/** Of each layer: the files to be broken, and the tests that must notice. */
module.exports = {
  protocol: { mutate: ['lib/protocol/*.ts'], tests: 'protocol/*' },
  server: {
    mutate: ['lib/server/{session,send-buffer,batch}.ts'],
    tests: 'server/{s,diagnostics}*',
  },
  client: { mutate: ['lib/client/{session,post-queue,send-buffer}.ts'], tests: 'client/!(size)' },
};
