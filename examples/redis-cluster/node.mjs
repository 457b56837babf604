// One node: a worker of start.mjs.
import { fileURLToPath } from 'node:url';
import express from 'express';
import { createClient } from 'redis';
import { createSseMiddleware } from 'sse-duplex';
import { redisCluster } from 'sse-duplex/redis';

const { NODE_NAME: node, REDIS_ADDRESS: address } = process.env;
const redis = createClient(
  address.includes('://') ? { url: address } : { socket: { path: address } },
);
redis.on('error', () => {}); // The client connects again by itself.
await redis.connect();

const app = express();
const sse = createSseMiddleware('/sse', { cluster: redisCluster(redis) });
app.use(sse);

sse.on('connection', (connection) => {
  const report = () => connection.send({ count: connection.state ?? 0, node, pid: process.pid });
  report(); // also if this node has taken the session over
  connection.on('message', (message) => {
    // The node that is killed has not handled the message, so the next one receives it again, and ignores it.
    if (message?.kill === process.pid) process.kill(process.pid, 'SIGKILL');
    if (message !== 'count') return;
    // What a listener does is recorded together with the message: all of it happens, or nothing.
    connection.state = (connection.state ?? 0) + 1;
    report();
  });
});

const page = fileURLToPath(new URL('index.html', import.meta.url));
app.get('/', (request, response) => response.sendFile(page));

const server = app.listen(process.env.PORT ?? 3000, (error) => {
  if (error) throw error;
  console.log(`${node}: open http://localhost:${server.address().port}`);
});
