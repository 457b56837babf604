import { createServer } from 'node:http';
import { createAdapter as createPubSubAdapter } from '@socket.io/redis-adapter';
import { createAdapter as createStreamsAdapter } from '@socket.io/redis-streams-adapter';
import { createClient } from 'redis';
import { Server } from 'socket.io';
import { startRedis } from '../../example-app/redis-server.mjs';
import { serve } from './serve.mjs';

const DIST = new URL('../../dist/', import.meta.url);
const [kind, build = DIST] = process.argv.slice(2);
const NODES = 3; // all in this process, so that its CPU time is that of the three
const redis = await startRedis();
process.once('exit', redis.stop);
const connect = () => createClient({ url: redis.url }).connect();

await serve(async (events) => {
  const nodes = await Promise.all(
    Array.from({ length: NODES }, () => (kind === 'sse-duplex' ? openNode : openSocketIo)(events)),
  );
  const admin = await connect();
  const commands = {
    /** Bytes of all keys and values. The buffers of connections, which change with the traffic, are not included. */
    async redisMemory() {
      const keys = await admin.keys('*');
      const sizes = await Promise.all(keys.map((key) => admin.memoryUsage(key, { SAMPLES: 0 })));
      return sizes.reduce((sum, size) => sum + size, 0);
    },
    /** CPU time since Redis started, in microseconds. */
    async redisCpu() {
      const info = await admin.info('cpu');
      const secondsOf = (name) => Number(new RegExp(`^${name}:(.+)$`, 'm').exec(info)[1]);
      return 1e6 * (secondsOf('used_cpu_user') + secondsOf('used_cpu_sys'));
    },
  };
  const servers = nodes.map(({ server }) => server);
  return { servers, broadcast: nodes[0].broadcast, commands };
});

async function openNode({ onOpen, onClose, onMessage }) {
  const { createSseMiddleware } = await import(new URL('index.mjs', build));
  const { redisCluster } = await import(new URL('redis/index.mjs', build));
  const sse = createSseMiddleware('/sse', { cluster: redisCluster(await connect()) });
  sse.on('connection', (connection) => {
    onOpen();
    connection.on('message', (message) => onMessage(message, (reply) => connection.send(reply)));
    connection.on('close', onClose);
  });
  const server = createServer();
  sse.attach(server);
  return { server, broadcast: (message) => sse.broadcast(message) };
}

async function openSocketIo({ onOpen, onClose, onMessage }) {
  const server = createServer();
  const client = await connect();
  const adapter =
    kind === 'streams'
      ? createStreamsAdapter(client)
      : createPubSubAdapter(client, await connect());
  const io = new Server(server, { transports: ['websocket'], adapter });
  io.on('connection', (socket) => {
    onOpen();
    socket.on('message', (message) => onMessage(message, (reply) => socket.send(reply)));
    socket.on('disconnect', onClose);
  });
  return { server, broadcast: (message) => io.send(message) };
}
