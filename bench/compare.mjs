import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Returns the URL of the build in another checkout of this package. Calls `fail` with the problem if there is none. */
export function findBuild(folder, fail) {
  const dist = join(resolve(folder), 'dist');
  if (!existsSync(join(dist, 'index.mjs'))) {
    fail(`"${folder}" has no dist/index.mjs: run "npm ci && npm run build" there`);
  }
  return pathToFileURL(`${dist}/`);
}

/**
 * Returns the scenario with its sse-duplex peers only, each of them twice: with the build of this
 * checkout, and with the baseline. The two are measured one directly after the other, and the one that
 * comes first alternates from round to round. Each round starts new servers, because the times of two
 * processes of the same build differ by several percent during their whole lifetime.
 */
export function compareBuilds(scenario, baseline) {
  const pairs = Object.entries(scenario.peers)
    .filter(([, { server, argument }]) => [server, argument].includes('sse-duplex'))
    .map(([name, peer]) => ({ name, new: peer, baseline: { ...peer, build: baseline } }));
  const peers = Object.fromEntries(
    pairs.flatMap((pair) => [
      [pair.name, pair.new],
      [baselineName(pair.name), pair.baseline],
    ]),
  );
  const order = (round) =>
    pairs.flatMap(({ name }) => {
      const names = [name, baselineName(name)];
      return round % 2 === 0 ? names : names.reverse();
    });
  return { ...scenario, peers, order, fresh: true, warmUpRounds: scenario.fresh ? 0 : 3 };
}

/** The name under which a peer's baseline is measured. */
export const baselineName = (name) => `${name}, baseline`;
