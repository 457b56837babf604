import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { runInThisContext } from 'node:vm';

/**
 * Runs the first code of a page of `docs`, as it stands there.
 *
 * @param given what it takes for there, by name.
 * @param result what it declares, to be returned.
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
