// Compares sse-duplex with its peers. README.md describes what is measured.
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseCommandLine } from '../scripts/command-line.mjs';
import { compareBuilds, findBuild } from './compare.mjs';

const SCENARIOS = [
  'broadcast',
  'stream',
  'post',
  'batch',
  'echo',
  'poll',
  'connect',
  'replay',
  'growth',
  'load',
  'client',
  'browser',
  'idle',
  'cluster',
];

const USAGE = `Compares sse-duplex with its peers. bench/README.md describes what is measured.

  npm run bench                       all scenarios; writes RESULTS.md and growth.svg
  npm run bench broadcast echo        some scenarios; prints their tables
  npm run bench -- --quick            small sizes and one round, to check that everything works
  npm run bench -- --rounds 10 post   the number of rounds (default 5)
  npm run bench -- --to FILE post     writes the report to bench/FILE as well
  npm run bench -- --baseline FOLDER --rounds 10 broadcast post

--baseline compares two builds of this package. FOLDER is another checkout of it, with the same public API and
already built (npm ci && npm run build). Each scenario then measures its sse-duplex peers only, with both builds in
the same run and in alternating order, and prints for each metric the median of the ratios new/baseline.

Scenarios: ${SCENARIOS.join(', ')}`;

const { values, names, fail } = parseCommandLine('npm run bench', USAGE, SCENARIOS, {
  baseline: { type: 'string' },
  quick: { type: 'boolean', default: false },
  rounds: { type: 'string' },
  to: { type: 'string' },
});
const chosen = names.length > 0 ? names : SCENARIOS;
const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
if (!Number.isInteger(rounds) || rounds < 1) {
  fail(`--rounds must be a positive integer, not "${values.rounds}"`);
}
const size = (full, small) => (values.quick ? small : full);
const baseline = values.baseline === undefined ? undefined : findBuild(values.baseline, fail);

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const modified = (path) => statSync(here(path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
if (modified('node_modules/.package-lock.json') < modified('package-lock.json')) npm('.', 'ci');
npm('..', 'run', 'build', '--silent');

// These modules import the packages that npm has just installed, and the build.
const { measure } = await import('./rounds.mjs');
const { describeComparison, describeRun, tabulate, tabulateComparison } =
  await import('./report.mjs');
const { plotGrowth } = await import('./growth-plot.mjs');

const { devDependencies } = JSON.parse(readFileSync(here('package.json'), 'utf8'));
let report = baseline
  ? describeComparison(rounds, values.baseline)
  : describeRun(rounds, devDependencies);
console.log(report);
for (const name of chosen) {
  const scenario = await import(`./scenarios/${name}.mjs`);
  const measured = baseline ? compareBuilds(scenario, baseline) : scenario;
  const outcomes = await measure(measured, rounds, size);
  const table = (baseline ? tabulateComparison : tabulate)(name, scenario, outcomes);
  console.log(table);
  report += table;
  const isSound = Object.values(outcomes).every(({ fault }) => !fault);
  if (name === 'growth' && !values.quick && !baseline && isSound) {
    writeFileSync(here('growth.svg'), plotGrowth(outcomes, scenario));
    report += '\n![Server CPU per delivery, by connections and by message size](growth.svg)\n';
  }
}
// Only a complete run replaces the published results.
const isComplete = !values.quick && !baseline && names.length === 0;
const target = values.to ?? (isComplete ? 'RESULTS.md' : undefined);
if (target !== undefined) writeFileSync(here(target), report);

function npm(folder, ...words) {
  execFileSync('npm', words, { cwd: here(folder), stdio: 'inherit' });
}
