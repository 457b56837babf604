'use strict';

/** Of each layer: the files to be broken, and the tests that must notice. */
module.exports = {
  protocol: { mutate: ['lib/protocol/*.ts'], tests: 'protocol/*' },
  server: {
    mutate: ['lib/server/{session,backlog,batch}.ts'],
    tests: 'server/{s,backlog,diagnostics}*',
  },
  client: { mutate: ['lib/client/{session,post-queue,outbox}.ts'], tests: 'client/!(size)' },
};
