import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createConnection, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Starts a Redis server on a free port, without files. Returns its URL, and a function that stops it. */
export async function startRedis() {
  const port = await findPort();
  const options = ['--port', port, '--bind', '127.0.0.1', '--save', ''];
  // In a process group of its own, it does not receive Ctrl+C.
  const child = spawn('redis-server', options, { stdio: 'ignore', detached: true });
  const failed = once(child, 'exit').then(
    ([code]) => Promise.reject(new Error(`redis-server ended with code ${code}`)),
    (error) => Promise.reject(error.code === 'ENOENT' ? notInstalled(error) : error),
  );
  await Promise.race([failed, waitUntilListening(port)]);
  failed.catch(() => {}); // From now on, the exit of the server is not an error.
  return { url: `redis://127.0.0.1:${port}`, stop: () => child.kill() };
}

function notInstalled(cause) {
  const remedy = 'Debian and Ubuntu: apt-get install redis-server. macOS: brew install redis.';
  return new Error(`redis-server is not installed. ${remedy}`, { cause });
}

async function findPort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

async function waitUntilListening(port) {
  while (!(await isListening(port))) await sleep(20);
}

async function isListening(port) {
  const socket = createConnection(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
