import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const ROOT = join(__dirname, '..');

/** The programs of this repository that accept names, and a name that each of them knows. */
const PROGRAMS = [
  ['bench/run.mjs', 'npm run bench', 'broadcast'],
  ['soak/run.mjs', 'npm run soak', 'chaos'],
  ['soak/redis-servers.mjs', 'npm run soak:redis', 'valkey-server-trixie'],
  ['mutation/run.mjs', 'npm run mutate', 'server'],
] as const;

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: ROOT,
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

describe.each(PROGRAMS)('%s', (program, command, known) => {
  test('prints its usage and the names with --help', () => {
    const { status, stdout, stderr } = run(program, '--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain(`  ${command} `);
    expect(stdout).toContain(known);
  });

  test.each([
    ['an unknown name', 'nosuch', 'unknown name "nosuch"; there are '],
    ['an unknown option', '--nosuch', "Unknown option '--nosuch'"],
  ])('rejects %s in two lines, and exits with 2', (_what, argument, problem) => {
    const { status, stdout, stderr } = run(program, argument);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(`${command}: ${problem}`);
    expect(stderr.trimEnd().split('\n')[1]).toBe(`See ${command} -- --help.`);
    expect(stderr.trimEnd().split('\n')).toHaveLength(2);
  });
});

test.each([
  ['--rounds', '0', '--rounds must be a positive integer, not "0"'],
  ['--baseline', '/nosuch', '"/nosuch" has no dist/index.mjs: run "npm ci && npm run build" there'],
])('bench/run.mjs rejects %s %s before it builds anything', (option, value, problem) => {
  const { status, stdout, stderr } = run('bench/run.mjs', option, value, 'post');
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr).toBe(`npm run bench: ${problem}\nSee npm run bench -- --help.\n`);
});
