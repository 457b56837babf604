'use strict';

const { projects } = require('../jest.config');
const layers = require('./layers');

const unit = projects.find(({ displayName }) => displayName === 'unit');

module.exports = {
  ...unit,
  rootDir: `${__dirname}/..`,
  testEnvironment: require.resolve('./fail-fast-environment'),
  // A mutation that prevents an event then fails a test, which is faster than a timeout of Stryker.
  testTimeout: 2_500,
  testMatch: [`<rootDir>/__tests__/${layers[process.env.LAYER].tests}.test.ts`],
};
