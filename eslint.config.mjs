import js from '@eslint/js';
import globals from 'globals';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['**/dist', 'api', 'coverage', '.stryker-tmp', 'reports'] },
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      // In a template, numbers and booleans print as expected.
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      // Arrow functions may return the void result of a call: `() => close()`.
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      // `() => {}` is a listener that does nothing.
      '@typescript-eslint/no-empty-function': 'off',
    },
  },
  {
    files: ['__tests__/**/*.ts'],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    files: ['**/*.{js,cjs,mjs}'],
    extends: [js.configs.recommended],
    rules: {
      eqeqeq: 'error',
      'no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'no-var': 'error',
      'object-shorthand': 'error',
      'prefer-const': 'error',
    },
  },
  {
    files: ['**/*.{js,cjs}'],
    languageOptions: { sourceType: 'commonjs' },
  },
  {
    files: ['**/*.{js,cjs,mjs}'],
    ignores: ['example-app/public/**'],
    languageOptions: { globals: globals.node },
  },
  {
    // Code that runs in a page, or that runs the code of a page in Node.
    files: [
      'example-app/public/**/*.mjs',
      'bench/clients/page.mjs',
      'examples/websocket-library/page.mjs',
      '__tests__/browser/helpers/network-first-worker.mjs',
      '__tests__/consumer/project/page.mjs',
    ],
    languageOptions: { globals: { ...globals.browser, ...globals.serviceworker } },
  },
);
