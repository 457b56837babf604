'use strict';

const { buildClientScript } = require('./scripts/build-client');

const project = {
  preset: 'ts-jest',
  testEnvironment: 'node',
  // tsconfig.json is for a bundler; Node runs the tests as CommonJS. `npm run lint` checks their types.
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

module.exports = {
  projects: [
    {
      ...project,
      displayName: 'unit',
      testMatch: ['<rootDir>/__tests__/{,!(browser|consumer|proxies)/**/}*.test.ts'],
    },
    {
      ...project,
      displayName: 'attached',
      globals: { ...project.globals, IS_ATTACHED: true },
      testMatch: [
        '<rootDir>/__tests__/client/!(dart-sse-client|size)*.test.ts',
        '<rootDir>/__tests__/server/{create-sse,diagnostics,request-policy,session,sse-connection}*.test.ts',
      ],
    },
    { ...project, displayName: 'browser', testMatch: ['<rootDir>/__tests__/browser/**/*.test.ts'] },
    { ...project, displayName: 'proxies', testMatch: ['<rootDir>/__tests__/proxies/**/*.test.ts'] },
    {
      ...project,
      displayName: 'consumer',
      testMatch: ['<rootDir>/__tests__/consumer/**/*.test.ts'],
    },
  ],
  coverageDirectory: 'coverage',
  collectCoverageFrom: ['lib/**/*.ts', '!lib/**/index.ts', '!lib/client/global.ts'],
};
