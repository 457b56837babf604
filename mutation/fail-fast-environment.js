'use strict';

const { TestEnvironment } = require('jest-environment-node');

/** Skips the tests of a file after the first one that fails, because one is enough to detect a mutation. */
module.exports = class FailFastEnvironment extends TestEnvironment {
  #hasFailed = false;

  handleTestEvent({ name, test }) {
    if (name === 'test_done' && test.errors.length > 0) this.#hasFailed = true;
    if (name === 'test_start' && this.#hasFailed) test.mode = 'skip';
  }
};
