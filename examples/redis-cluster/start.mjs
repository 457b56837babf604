// Starts a Redis and three nodes. A node that ends is replaced.
import cluster from 'node:cluster';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const NODES = 3;

const redisAddress = process.env.REDIS_URL ?? startRedis(); // a URL, or the path of a socket
cluster.setupPrimary({ exec: fileURLToPath(new URL('node.mjs', import.meta.url)) });
for (let node = 1; node <= NODES; node++) startNode(`node ${node}`);

function startNode(name) {
  const worker = cluster.fork({ NODE_NAME: name, REDIS_ADDRESS: redisAddress });
  worker.once('exit', async (code, signal) => {
    console.log(`${name} ended (${signal ?? code})`);
    await sleep(1000);
    startNode(name);
  });
}

/** Starts a Redis that keeps nothing on the disk, and ends with this process. Returns the path of its socket. */
function startRedis() {
  const folder = mkdtempSync(join(tmpdir(), 'redis-'));
  const socket = join(folder, 'redis.sock');
  const options = ['--port', '0', '--unixsocket', socket, '--save', ''];
  const redis = spawn('redis-server', options, { stdio: 'ignore' });
  redis.once('error', ({ message }) => {
    console.error(
      `${message}. Install redis-server (Debian, Ubuntu: apt-get install redis-server;`,
    );
    console.error('macOS: brew install redis), or set REDIS_URL to the address of a Redis.');
    process.exit(1);
  });
  process.once('exit', () => {
    redis.kill();
    rmSync(folder, { recursive: true });
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit());
  return socket;
}
