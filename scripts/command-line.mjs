import { parseArgs } from 'node:util';

/**
 * Parses the arguments of a program of this repository: options, and names of which each must be one of `known`. With
 * `--help` it prints the usage and exits with 0. If an argument is wrong, it says so and exits with 2.
 *
 * @param program the command of the user, for example `npm run bench`.
 * @param usage what `--help` prints.
 * @param known the names.
 * @param options those of `parseArgs`, without `help`.
 */
export function parseCommandLine(program, usage, known, options = {}) {
  const fail = (problem) => {
    console.error(`${program}: ${problem}\nSee ${program} -- --help.`);
    process.exit(2);
  };
  const { values, positionals } = parse(options, fail);
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  const unknown = positionals.find((name) => !known.includes(name));
  if (unknown !== undefined) fail(`unknown name "${unknown}"; there are ${known.join(', ')}`);
  return { values, names: positionals, fail };
}

function parse(options, fail) {
  try {
    const help = { type: 'boolean' };
    return parseArgs({ options: { ...options, help }, allowPositionals: true });
  } catch (error) {
    return fail(error.message);
  }
}
