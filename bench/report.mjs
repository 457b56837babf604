import { cpus } from 'node:os';
import { median } from './statistics.mjs';

/** What it was measured on, and with. */
export function describeRun(rounds, versions) {
  const [{ model }] = cpus();
  const peers = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `# Results

${new Date().toISOString().slice(0, 10)}, ${model}, ${cpus().length} cores, ${process.platform}, Node ${process.version}, ${rounds} rounds.
${peers.join(', ')}.

Each cell: the median, (least – most), and × the median of its ratios to the reference, round by round. How to read it: [README.md](README.md).
`;
}

/** A scenario's table. */
export function tabulate(name, { title, reference }, outcomes) {
  const metrics = Object.keys(Object.values(outcomes).find(hasSamples)?.samples[0] ?? {});
  const rows = Object.entries(outcomes).map(([peer, outcome]) => {
    if (outcome.fault) return row([peer, `void: ${outcome.fault}`]);
    const cells = metrics.map((metric) => {
      const values = outcome.samples.map((sample) => sample[metric]);
      const spread = `(${round(Math.min(...values))} – ${round(Math.max(...values))})`;
      return `${round(median(values))} ${spread}${ratio(values, metric)}`;
    });
    return row([peer, ...cells]);
  });

  /** Of what was measured in the same round: the machine's speed may be another in the next. */
  function ratio(values, metric) {
    if (!hasSamples(outcomes[reference])) return '';
    const ratios = outcomes[reference].samples.map((sample, i) => values[i] / sample[metric]);
    return ratios.every(Number.isFinite) ? ` ×${median(ratios).toFixed(2)}` : '';
  }

  return `
## ${name}

${title}. Ratios to ${reference}.

${row(['', ...metrics])}
${row(['---', ...metrics.map(() => '---:')])}
${rows.join('\n')}
`;
}

const hasSamples = ({ samples, fault }) => samples.length > 0 && !fault;

const row = (cells) => `| ${cells.join(' | ')} |`;

/** Three digits are as many as mean anything. */
const round = (value) =>
  value === 0 ? '0' : value.toLocaleString('en-GB', { maximumSignificantDigits: 3 });
