import { cpus } from 'node:os';
import { baselineName } from './compare.mjs';
import { median } from './statistics.mjs';

/** Returns the beginning of the report: the machine, the versions and how to read the tables. */
export function describeRun(rounds, versions) {
  const peers = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `# Results

${describeMachine(rounds)}
${peers.join(', ')}.

Each cell: the median, (minimum – maximum), and × the median of its ratios to the reference in the same round. How to read it: [README.md](README.md).
`;
}

/** Returns the beginning of the report of a comparison with a baseline. */
export function describeComparison(rounds, baseline) {
  return `# Comparison with ${baseline}

${describeMachine(rounds)}

Each cell: × the median of the ratios new/baseline, taken round by round, (minimum – maximum of the ratios), then the medians of new and baseline.
`;
}

function describeMachine(rounds) {
  const [{ model }] = cpus();
  const date = new Date().toISOString().slice(0, 10);
  return `${date}, ${model}, ${cpus().length} cores, ${process.platform}, Node ${process.version}, ${rounds} rounds.`;
}

/** Returns the table of a scenario. */
export function tabulate(name, { title, reference }, outcomes) {
  return table(name, `${title}. Ratios to ${reference}.`, outcomes, Object.keys(outcomes), cell);

  function cell(peer, metric) {
    const values = valuesOf(outcomes[peer], metric);
    return `${round(median(values))} ${spread(values, round)}${ratio(values, metric)}`;
  }

  /** Only values of the same round are compared: the speed of the machine may change between rounds. */
  function ratio(values, metric) {
    if (!hasSamples(outcomes[reference])) return '';
    const ratios = ratiosOf(values, valuesOf(outcomes[reference], metric));
    return ratios.every(Number.isFinite) ? ` ×${median(ratios).toFixed(2)}` : '';
  }
}

/** Returns the table of a scenario whose sse-duplex peers were measured with two builds. */
export function tabulateComparison(name, { title }, outcomes) {
  const names = Object.keys(outcomes).filter((peer) => baselineName(peer) in outcomes);
  return table(name, `${title}. Ratios new/baseline.`, outcomes, names, (peer, metric) => {
    const baseline = outcomes[baselineName(peer)];
    if (baseline.fault) return `baseline void: ${baseline.fault}`;
    const values = valuesOf(outcomes[peer], metric);
    const references = valuesOf(baseline, metric);
    const medians = `${round(median(values))} / ${round(median(references))}`;
    const ratios = ratiosOf(values, references);
    if (!ratios.every(Number.isFinite)) return medians; // the baseline was 0 in a round
    const toText = (value) => value.toFixed(3);
    return `×${toText(median(ratios))} ${spread(ratios, toText)}, ${medians}`;
  });
}

function table(name, caption, outcomes, peers, cell) {
  const metrics = Object.keys(Object.values(outcomes).find(hasSamples)?.samples[0] ?? {});
  const rows = peers.map((peer) => {
    const { fault } = outcomes[peer];
    return row([peer, ...(fault ? [`void: ${fault}`] : metrics.map((each) => cell(peer, each)))]);
  });
  return `
## ${name}

${caption}

${row(['', ...metrics])}
${row(['---', ...metrics.map(() => '---:')])}
${rows.join('\n')}
`;
}

const hasSamples = ({ samples, fault }) => samples.length > 0 && !fault;

const valuesOf = ({ samples }, metric) => samples.map((sample) => sample[metric]);

const ratiosOf = (values, references) => values.map((value, i) => value / references[i]);

const spread = (values, toText) =>
  `(${toText(Math.min(...values))} – ${toText(Math.max(...values))})`;

const row = (cells) => `| ${cells.join(' | ')} |`;

/** Rounds to three significant digits; the measurements are not more precise than that. */
const round = (value) =>
  value === 0 ? '0' : value.toLocaleString('en-GB', { maximumSignificantDigits: 3 });
