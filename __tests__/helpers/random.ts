/** A pseudo-random generator: the same seed gives the same numbers. */
export interface Random {
  /** Returns a number from 0 (inclusive) to 1 (exclusive). */
  next(): number;
  /** Returns an integer between `min` and `max`, both inclusive. */
  integer(min: number, max: number): number;
  /** Returns an integer between `min` and `max` with a logarithmic distribution. */
  magnitude(min: number, max: number): number;
  /** Returns one of the choices. */
  pick<T>(choices: readonly T[]): T;
}

/** Creates a generator with the Mulberry32 algorithm. */
export function createRandom(seed: number): Random {
  let state = seed | 0;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const integer = (min: number, max: number) => min + Math.floor(next() * (max - min + 1));
  return {
    next,
    integer,
    magnitude: (min, max) => min + Math.floor(Math.exp(next() * Math.log(max - min + 2)) - 1),
    pick: (choices) => choices[integer(0, choices.length - 1)]!,
  };
}

/** Returns `count` random seeds, or only the one in the environment variable SEED, to replay a failure. */
export function seeds(count: number): number[] {
  const { SEED } = process.env;
  if (SEED !== undefined) return [Number(SEED)];
  return Array.from({ length: count }, () => Math.floor(Math.random() * 2 ** 31));
}
