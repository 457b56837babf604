import layers from './layers.js';

/** @type {import('@stryker-mutator/api/core').PartialStrykerOptions} */
export default {
  mutate: layers[process.env.LAYER].mutate,
  tsconfigFile: 'none', // jest.config.js has the compiler options of the tests
  testRunner: 'jest',
  jest: { configFile: 'mutation/jest.config.js', enableFindRelatedTests: false },
  coverageAnalysis: 'perTest',
  concurrency: 2,
  // Only endless loops reach this limit: the tests give up earlier, see run.mjs and jest.config.js.
  timeoutMS: 3_000,
  timeoutFactor: 1.25,
  thresholds: { high: 90, low: 85, break: 85 },
  reporters: ['clear-text', 'json', 'progress-append-only'],
  jsonReporter: { fileName: `reports/mutation/${process.env.LAYER}.json` },
  clearTextReporter: { allowColor: false, reportTests: false },
};
