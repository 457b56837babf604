import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'redis';

/** Starts a Redis for this process, without persistence. Returns a function that connects a client to it. */
export async function startRedis() {
  const port = await findPort();
  const options = ['--port', port, '--bind', '127.0.0.1', '--save', ''];
  const child = spawn('redis-server', options, { stdio: 'ignore' });
  child.once('error', (error) => {
    throw new Error('the scenario "cluster" needs redis-server', { cause: error });
  });
  process.once('exit', () => child.kill());
  await sleep(200);
  return () => createClient({ url: `redis://127.0.0.1:${port}` }).connect();
}

async function findPort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}
