import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import express from 'express';
import { createClient } from 'redis';
import { createSseMiddleware } from 'sse-duplex';
import { redisCluster } from 'sse-duplex/redis';
import { MemoryLog } from './log.mjs';
import { parse } from './parse.mjs';
import { Board, INKS } from './public/board.mjs';
import { RedisLog } from './redis-log.mjs';

// `npm run start:cluster` starts several nodes, which share their sessions and the log in Redis.
const { PORT = 3000, REDIS_URL, NODE_NAME } = process.env;
const redis = REDIS_URL === undefined ? undefined : await connectRedis(REDIS_URL);
const log = redis ? new RedisLog(redis) : new MemoryLog();
const sse = createSseMiddleware('/sse', redis ? { cluster: redisCluster(redis) } : {});

const app = express();
app.use(sse);
app.use(express.static(fileURLToPath(new URL('public', import.meta.url))));
const qrcode = fileURLToPath(import.meta.resolve('qrcode-generator'));
app.get('/qrcode.mjs', (request, response) => response.sendFile(qrcode));

// The log passes each entry to this function, on every node in the same order. The node applies it to its board and
// sends it to its pages, including that of the author: so all boards are equal.
const board = new Board();
log.onentry = (entry) => {
  board.apply(entry);
  for (const connection of sse.connections) connection.send(entry);
};

sse.on('connection', (connection) => {
  connection.join('board');
  connection.send({ type: 'snapshot', board, node: NODE_NAME });
  // The session was on another node before. Its `state` has moved with it.
  if (connection.recovered) void welcome(connection);

  connection.on('message', (message) => {
    const event = parse(message);
    if (event?.type === 'hello') return handleHello(connection, event);
    if (event?.type === 'kill') return kill(event.node);
    if (event && connection.state) return handleEvent(connection, event);
  });
  connection.on('disconnect', () => mark(connection, 'away'));
  connection.on('reconnect', () => mark(connection, 'here'));
  connection.on('close', () => mark(connection, 'gone'));
});

// A page sends `hello` when it joins, when its name or ink changes, and after a lost session. The key is secret and
// identifies the person across sessions. The id is public.
async function handleHello(connection, { key, page, name, ink }) {
  const id = createHash('sha256').update(key).digest('base64url').slice(0, 8);
  const known = board.people.get(id);
  // This property moves with the session if another node takes it over.
  connection.state = { id, page, name, ink: ink ?? known?.ink ?? leastUsedInk() };
  await welcome(connection);
  await mark(connection, 'here');
}

async function welcome(connection) {
  if (!connection.state) return; // The page has not sent `hello` yet.
  const { id: by, page, ink } = connection.state;
  const received = await log.lastOf({ by, page });
  connection.send({ type: 'you', id: by, ink, received });
}

function handleEvent(connection, { n, ...event }) {
  const { id: by, page, name, ink } = connection.state;
  if (event.type === 'cursor') {
    // Cursor positions are only forwarded: they are out of date a moment later.
    sse.to('board').send({ ...event, by }, { except: connection });
    return;
  }
  // Within a session, no message arrives twice. After a lost session, the page does not know whether its
  // unacknowledged messages arrived. It sends them again, and the log ignores those that it has.
  const author =
    event.type === 'line' ? { by, page, ink } : { by, page, ink, name, at: Date.now() };
  return log.append({ ...event, ...author, n });
}

// Adds an entry to the log that says whether a person is here, away (the stream is lost) or gone.
function mark(connection, state) {
  if (!connection.state) return;
  const { id, page, name, ink } = connection.state;
  const known = board.people.get(id);
  // This is the session of an earlier page of the same person, who has reloaded it.
  if (state !== 'here' && known?.page !== page) return;
  return log.append({ type: 'person', id, page, name, ink, state });
}

// Returns the ink that the fewest people use.
function leastUsedInk() {
  const uses = new Array(INKS).fill(0);
  for (const { ink } of board.people.values()) uses[ink]++;
  return uses.indexOf(Math.min(...uses));
}

// Handles the button "Kill node". The killed node has not acknowledged the message, so the next node receives it again.
// It is not the node that is named, and ignores it.
function kill(node) {
  if (node === NODE_NAME) process.kill(process.pid, 'SIGKILL');
}

async function connectRedis(url) {
  const client = createClient({ url });
  client.on('error', ({ message }) => console.error(message));
  return client.connect();
}

await log.open();
const server = app.listen(Number(PORT), (error) => {
  if (error) throw error;
  const { port } = server.address();
  if (process.send) process.send({ port });
  else console.log(`The sketch board is at http://localhost:${port}`);
});

async function stop() {
  await sse.close(); // closes every session, or gives it to another node; the pages reconnect
  log.close();
  redis?.destroy();
  server.close();
  // Browsers open connections in advance. Node does not count a connection without a request as idle, so it would keep
  // the process alive for a minute.
  setTimeout(() => server.closeAllConnections(), 500).unref();
}
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
