/** Numbers that look random and are the same for the same seed. */
export interface Random {
  /** From 0 up to, without, 1. */
  next(): number;
  /** A whole number, both ends included. */
  integer(least: number, most: number): number;
  /** A whole number; small ones as likely as great ones of as many digits. */
  magnitude(least: number, most: number): number;
  pick<T>(choices: readonly T[]): T;
}

/** Mulberry32. */
export function createRandom(seed: number): Random {
  let state = seed | 0;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const integer = (least: number, most: number) => least + Math.floor(next() * (most - least + 1));
  return {
    next,
    integer,
    magnitude: (least, most) =>
      least + Math.floor(Math.exp(next() * Math.log(most - least + 2)) - 1),
    pick: (choices) => choices[integer(0, choices.length - 1)]!,
  };
}

/** The seeds to test with: those given, or the one in the environment, to replay a failure. */
export function seeds(count: number): number[] {
  const { SEED } = process.env;
  if (SEED !== undefined) return [Number(SEED)];
  return Array.from({ length: count }, () => Math.floor(Math.random() * 2 ** 31));
}
