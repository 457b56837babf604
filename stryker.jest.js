'use strict';

const { projects } = require('./jest.config');

// The unit tests without those of whole processes, and of the built client's size.
module.exports = {
  ...projects[0],
  testMatch: ['<rootDir>/__tests__/{protocol,server,client}/!(size).test.ts'],
};
