import { median } from './statistics.mjs';

const WIDTH = 340;
const HEIGHT = 220;
const LEFT = 60;
const COLOURS = ['#888', '#2a7de1'];

/** Draws two panels: the cost of a delivery by connections and by message size, on logarithmic axes. */
export function plotGrowth(outcomes, { COUNTS, SIZES }) {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${2 * (WIDTH + LEFT) + 20} ${HEIGHT + 90}" font-family="sans-serif" font-size="11">
<style>text { fill: #333 } .axis { stroke: #888; fill: none } @media (prefers-color-scheme: dark) { text { fill: #ccc } }</style>
${panel(LEFT, 'by connections', outcomes, COUNTS)}
${panel(2 * LEFT + WIDTH, 'by message size', outcomes, SIZES)}
${Object.keys(outcomes).map(legend).join('\n')}
</svg>
`;
}

function panel(left, name, outcomes, points) {
  const curves = Object.values(outcomes).map(({ samples }) =>
    Object.entries(points).map(([metric, x]) => [
      x,
      median(samples.map((sample) => sample[metric])),
    ]),
  );
  const costs = curves.flat().map(([, cost]) => cost);
  const x = scale(Object.values(points), left, left + WIDTH - 20);
  const [lowest, highest] = [
    powerOfTen(Math.min(...costs), 'floor'),
    powerOfTen(Math.max(...costs), 'ceil'),
  ];
  const y = scale([lowest, highest], HEIGHT + 40, 40);
  const levels = [];
  for (let level = lowest; level <= highest; level *= 10) levels.push(level);

  return [
    `<text x="${left}" y="22">µs of server CPU per delivery, ${name}</text>`,
    `<path class="axis" d="M${left} 40V${HEIGHT + 40}H${left + WIDTH - 20}"/>`,
    ...levels.map(
      (cost) => `<text x="${left - 6}" y="${y(cost) + 4}" text-anchor="end">${cost}</text>`,
    ),
    ...Object.entries(points).map(
      ([label, value]) =>
        `<text x="${x(value)}" y="${HEIGHT + 56}" text-anchor="middle">${label}</text>`,
    ),
    ...curves.map((curve, i) =>
      line(
        curve.map(([at, cost]) => [x(at), y(cost)]),
        COLOURS[i],
      ),
    ),
  ].join('\n');
}

function line(points, colour) {
  const path = points.map((point) => point.map(Math.round).join(' ')).join('L');
  const dots = points.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="3" fill="${colour}"/>`);
  return `<path d="M${path}" stroke="${colour}" stroke-width="2" fill="none"/>${dots.join('')}`;
}

function legend(name, i) {
  return `<text x="${LEFT + i * 120}" y="${HEIGHT + 80}" style="fill: ${COLOURS[i]}">● ${name}</text>`;
}

/** Returns a logarithmic scale that rounds to whole pixels. */
function scale(values, from, to) {
  const [low, high] = [Math.log(Math.min(...values)), Math.log(Math.max(...values))];
  return (value) => Math.round(from + ((Math.log(value) - low) / (high - low)) * (to - from));
}

const powerOfTen = (value, rounding) => 10 ** Math[rounding](Math.log10(value));
