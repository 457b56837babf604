'use strict';

const { default: Sequencer } = require('@jest/test-sequencer');

/** The test files that take longest, because they wait for leases and timeouts of nodes. */
const LONG = /[\\/]__tests__[\\/]server[\\/]cluster(-\w+)?\.test\.ts$/;

/** Begins with the longest files also in a fresh clone, where Jest does not know how long they take. */
module.exports = class extends Sequencer {
  sort(tests) {
    const sorted = super.sort(tests);
    return [
      ...sorted.filter(({ path }) => LONG.test(path)),
      ...sorted.filter(({ path }) => !LONG.test(path)),
    ];
  }
};
