'use strict';

const { readFileSync, readdirSync } = require('node:fs');
const { join } = require('node:path');
const { buildClientScript } = require('./scripts/build-client');

const TESTS = join(__dirname, '__tests__');

const project = {
  preset: 'ts-jest',
  testEnvironment: 'node',
  // tsconfig.json is for a bundler, but Node runs the tests as CommonJS. `npm run lint` checks the types.
  transform: {
    '^.+\\.ts$': [
      'ts-jest',
      {
        tsconfig: {
          module: 'CommonJS',
          moduleResolution: 'Node10',
          target: 'ES2022',
          esModuleInterop: true,
          isolatedModules: true,
        },
        diagnostics: false,
      },
    ],
  },
  globals: { SSE_CLIENT_SCRIPT: buildClientScript() },
};

/** A project of the tests in one folder. */
const tier = (name) => ({
  ...project,
  displayName: name,
  testMatch: [`<rootDir>/__tests__/${name}/**/*.test.ts`],
});

/** The test files of `server` and `client` that send requests to an Express application. */
function findChannelTests() {
  return ['server', 'client']
    .flatMap((folder) => readdirSync(join(TESTS, folder)).map((file) => join(folder, file)))
    .filter((file) => file.endsWith('.test.ts'))
    .filter((file) => readFileSync(join(TESTS, file), 'utf8').includes('openChannel('));
}

module.exports = {
  maxWorkers: '100%',
  testSequencer: '<rootDir>/scripts/test-sequencer.js',
  projects: [
    {
      ...project,
      displayName: 'unit',
      testMatch: [
        '<rootDir>/__tests__/*.test.ts',
        '<rootDir>/__tests__/{protocol,server,client,dart,redis,websocket,ws,cli}/**/*.test.ts',
        '<rootDir>/__tests__/delivery/{short,cluster-model,cluster-dart}.test.ts',
      ],
    },
    {
      ...project,
      displayName: 'attached',
      // Runs these tests again with `attach`: the channel receives requests ahead of Express.
      globals: { ...project.globals, IS_ATTACHED: true },
      testMatch: findChannelTests().map((file) => `<rootDir>/__tests__/${file}`),
    },
    {
      ...tier('delivery'),
      testPathIgnorePatterns: [
        '/node_modules/',
        '/(short|cluster-model|cluster-dart)\\.test\\.ts$',
      ],
    },
    tier('security'),
    tier('integration'),
    tier('browser'),
    tier('consumer'),
    tier('cluster'),
  ],
  coverageDirectory: 'coverage',
  collectCoverageFrom: ['lib/**/*.ts', '!lib/**/index.ts', '!lib/client/global.ts'],
  coverageThreshold: { global: { statements: 99, branches: 97, functions: 97, lines: 99 } },
};
