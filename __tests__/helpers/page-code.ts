import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { runInThisContext } from 'node:vm';

/**
 * Runs the first JavaScript code block of a page in `docs`.
 *
 * @param given values of the names that the code uses but does not declare.
 * @param result name of the variable to return.
 */
export function runPageCode(page: string, given: Record<string, unknown>, result = ''): unknown {
  const [, code] = /```js\n([^]*?)```/.exec(readFileSync(resolve(page), 'utf8'))!;
  const body = code!.replace(/^import (.*) from '(.*)';$/gm, "const $1 = require('$2');");
  const names = ['require', ...Object.keys(given)];
  const run = runInThisContext(`(function (${names.join()}) {${body} return ${result};})`) as (
    ...values: unknown[]
  ) => unknown;
  return run(require, ...Object.values(given));
}
