// Mutation testing of what keeps the promise: `npm run mutate`. Ends with 1 below the score.
/** @type {import('@stryker-mutator/api/core').PartialStrykerOptions} */
export default {
  mutate: ['lib/protocol/*.ts', 'lib/server/session.ts', 'lib/client/{session,post-queue}.ts'],
  testRunner: 'jest',
  jest: { configFile: 'stryker.jest.js', enableFindRelatedTests: false },
  coverageAnalysis: 'perTest',
  concurrency: 2,
  thresholds: { high: 90, low: 85, break: 85 },
  reporters: ['clear-text', 'json', 'progress-append-only'],
  clearTextReporter: { allowColor: false, reportTests: false, logTests: false },
};
