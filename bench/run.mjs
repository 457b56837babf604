// Measures sse-duplex beside its peers: `npm run bench`, or `npm run bench broadcast echo` for some
// scenarios, `npm run bench -- --quick` to see that all of it works, `--to FILE` to keep what some gave.
// README.md says what is measured.
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const SCENARIOS = [
  'broadcast',
  'stream',
  'post',
  'batch',
  'echo',
  'connect',
  'replay',
  'growth',
  'load',
  'client',
  'browser',
  'idle',
];

const { values, positionals } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, to: { type: 'string' } },
  allowPositionals: true,
});
const chosen = positionals.length > 0 ? positionals : SCENARIOS;
const unknown = chosen.filter((name) => !SCENARIOS.includes(name));
if (unknown.length > 0) throw new Error(`no such scenario: ${unknown}; there are ${SCENARIOS}`);
const rounds = values.quick ? 1 : 5;
const size = (full, small) => (values.quick ? small : full);

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const modified = (path) => statSync(here(path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
if (modified('node_modules/.package-lock.json') < modified('package-lock.json')) npm('.', 'ci');
npm('..', 'run', 'build', '--silent');

// What they import was not there before.
const { measure } = await import('./rounds.mjs');
const { describeRun, tabulate } = await import('./report.mjs');
const { plotGrowth } = await import('./growth-plot.mjs');

const { devDependencies } = JSON.parse(readFileSync(here('package.json'), 'utf8'));
let report = describeRun(rounds, devDependencies);
console.log(report);
for (const name of chosen) {
  const scenario = await import(`./scenarios/${name}.mjs`);
  const outcomes = await measure(scenario, rounds, size);
  const table = tabulate(name, scenario, outcomes);
  console.log(table);
  report += table;
  const isSound = Object.values(outcomes).every(({ fault }) => !fault);
  if (name === 'growth' && !values.quick && isSound) {
    writeFileSync(here('growth.svg'), plotGrowth(outcomes, scenario));
    report += '\n![What a delivery costs, by connections and by size](growth.svg)\n';
  }
}
// Some of it, or of small sizes, does not replace the whole.
const isWhole = !values.quick && positionals.length === 0;
const target = values.to ?? (isWhole ? 'RESULTS.md' : undefined);
if (target !== undefined) writeFileSync(here(target), report);

function npm(folder, ...words) {
  execFileSync('npm', words, { cwd: here(folder), stdio: 'inherit' });
}
