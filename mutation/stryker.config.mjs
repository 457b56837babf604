import layers from './layers.js';

/** @type {import('@stryker-mutator/api/core').PartialStrykerOptions} */
export default {
  mutate: layers[process.env.LAYER].mutate,
  tsconfigFile: 'none', // the tests' compiler has its own options
  testRunner: 'jest',
  jest: { configFile: 'mutation/jest.config.js', enableFindRelatedTests: false },
  coverageAnalysis: 'perTest',
  concurrency: 2,
  thresholds: { high: 90, low: 85, break: 85 },
  reporters: ['clear-text', 'json', 'progress-append-only'],
  jsonReporter: { fileName: `reports/mutation/${process.env.LAYER}.json` },
  clearTextReporter: { allowColor: false, reportTests: false },
};
