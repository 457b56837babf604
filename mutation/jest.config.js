'use strict';

const { projects } = require('../jest.config');
const layers = require('./layers');

module.exports = {
  ...projects[0],
  rootDir: `${__dirname}/..`,
  testMatch: [`<rootDir>/__tests__/${layers[process.env.LAYER].tests}.test.ts`],
};
