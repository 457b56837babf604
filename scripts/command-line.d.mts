import type { ParseArgsConfig } from 'node:util';

/** The types of command-line.mjs, for the programs in TypeScript. */
export function parseCommandLine(
  program: string,
  usage: string,
  known: string[],
  options?: ParseArgsConfig['options'],
): {
  values: Record<string, unknown>;
  names: string[];
  fail: (problem: string) => never;
};
