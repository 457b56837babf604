// Starts the sketch board as three nodes on one Redis, behind a proxy that sends each request to another node.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createProxy } from './proxy.mjs';
import { startRedis } from './redis-server.mjs';

const NODES = ['node 1', 'node 2', 'node 3'];
const RESTART_DELAY = 3000; // ms
const SERVER = fileURLToPath(new URL('server.mjs', import.meta.url));

const children = new Map(); // processes of the nodes, by name
const ports = new Map(); // ports of the nodes that listen, by name
let isStopping = false;

const redis = await startRedis().catch(({ message }) => {
  console.error(message);
  process.exit(1);
});
await Promise.all(NODES.map(startNode));

const proxy = createProxy(() => [...ports.values()]);
proxy.listen(Number(process.env.PORT ?? 3000), () => {
  console.log(
    `The sketch board is at http://localhost:${proxy.address().port}, on ${NODES.length} nodes`,
  );
});
process.once('SIGTERM', stop);
process.once('SIGINT', stop);

async function startNode(name) {
  const env = { ...process.env, PORT: '0', NODE_NAME: name, REDIS_URL: redis.url };
  const child = fork(SERVER, { env });
  children.set(name, child);
  child.once('exit', async (code, signal) => {
    children.delete(name);
    ports.delete(name);
    if (isStopping) return;
    console.log(`${name} ended (${signal ?? code}), and starts again in ${RESTART_DELAY / 1000} s`);
    await sleep(RESTART_DELAY);
    if (!isStopping) await startNode(name);
  });
  const [{ port }] = await once(child, 'message');
  ports.set(name, port);
  console.log(`${name} listens on port ${port}`);
}

// Redis ends last, because the nodes still write to it.
async function stop(signal) {
  isStopping = true;
  const ended = [...children.values()].map((child) => once(child, 'exit'));
  // With Ctrl+C (SIGINT) the terminal sends the signal to the nodes as well.
  if (signal === 'SIGTERM') for (const child of children.values()) child.kill(signal);
  await Promise.all(ended);
  redis.stop();
  proxy.close();
  proxy.closeAllConnections();
}
