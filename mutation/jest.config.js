'use strict';

const { projects } = require('../jest.config');

const unit = projects.find(({ displayName }) => displayName === 'unit');

module.exports = {
  ...unit,
  rootDir: `${__dirname}/..`,
  testEnvironment: require.resolve('./fail-fast-environment'),
  // A mutation that prevents an event then fails a test, which is faster than a timeout of Stryker.
  testTimeout: 1_000 + Number(process.env.WAIT_LIMIT),
  testMatch: ['<rootDir>/mutation/layer.test.js'],
};
