// Runs the tests of several nodes with other versions of Redis, and with Valkey.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseCommandLine } from '../scripts/command-line.mjs';

const TESTS = ['redis', 'redis-engine', 'redis-cluster', 'adoption', 'chaos'];
const SERVERS = [
  // Version 6.0 does not have the option --cluster-port, which the tests with shards need, and does not complete the
  // failover that the test with Sentinels waits for.
  { release: 'bullseye', program: 'redis-server', tests: ['redis', 'redis-engine', 'adoption'] },
  { release: 'trixie', program: 'redis-server', tests: TESTS },
  { release: 'trixie', program: 'valkey-server', tests: TESTS },
].map((server) => ({ ...server, name: `${server.program}-${server.release}` }));

const known = SERVERS.map(({ name }) => name);
const USAGE = `Runs the tests of several nodes with other versions of Redis, and with Valkey.

  npm run soak:redis                        all servers
  npm run soak:redis valkey-server-trixie   one of them

Installs the servers of other Debian releases into /var/tmp, and needs root and debootstrap for that. Exits with 1 if
a test fails.

Servers: ${known.join(', ')}`;
const { names } = parseCommandLine('npm run soak:redis', USAGE, known);

function run(command, args, env = {}) {
  const { status } = spawnSync(command, args, {
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  return status === 0;
}

/** Installs a server in a folder of its own. Returns the folder, and a script that starts the server in a chroot. */
function install({ release, program }) {
  const root = `/var/tmp/sse-duplex-${release}-${program}`;
  if (!existsSync(join(root, 'usr/bin', program))) {
    const options = ['--variant=minbase', `--include=${program}`];
    if (!run('debootstrap', [...options, release, root])) throw new Error('debootstrap failed');
  }
  // In the chroot, paths that begin with the folder lead to the same files as outside of it.
  const self = join(root, root);
  mkdirSync(dirname(self), { recursive: true });
  if (!existsSync(self)) symlinkSync('/', self);
  const script = join(root, `${program}.sh`);
  writeFileSync(script, `#!/bin/sh\nexec chroot ${root} ${program} "$@"\n`, { mode: 0o755 });
  return { root, script };
}

const chosen = SERVERS.filter(({ name }) => names.length === 0 || names.includes(name));
for (const server of chosen) {
  const { root, script } = install(server);
  run(script, ['--version']);
  const tests = server.tests.map((name) => `__tests__/cluster/${name}.test.ts`);
  const jest = ['jest', ...tests, '--selectProjects', 'cluster', '--runInBand'];
  if (!run('npx', jest, { REDIS_SERVER: script, TMPDIR: join(root, 'tmp') })) process.exitCode = 1;
}
