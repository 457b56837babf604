'use strict';

const { projects } = require('../jest.config');
const layers = require('./layers');

const unit = projects.find(({ displayName }) => displayName === 'unit');

module.exports = {
  ...unit,
  rootDir: `${__dirname}/..`,
  testMatch: [`<rootDir>/__tests__/${layers[process.env.LAYER].tests}.test.ts`],
};
