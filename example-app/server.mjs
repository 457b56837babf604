import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import express from 'express';
import { createSseMiddleware } from 'sse-duplex';
import { parse } from './parse.mjs';
import { Board, INKS } from './public/board.mjs';

const app = express();
const sse = createSseMiddleware('/sse');
app.use(sse);
app.use(express.static(fileURLToPath(new URL('public', import.meta.url))));

const board = new Board();
const people = new Map(); // by the secret key that each page generates when it loads

// Only this function adds entries to the board. It numbers the entry and broadcasts it to every page,
// including the author's, so that all pages apply the same entries in the same order.
function publish(entry) {
  const numbered = { seq: board.seq + 1, ...entry };
  board.apply(numbered);
  sse.broadcast(numbered);
}

function broadcastPeople() {
  const present = [...people.values()]
    .filter(({ state }) => state !== 'gone')
    .map(({ id, name, ink, state }) => ({ id, name, ink, state }));
  sse.broadcast({ type: 'people', people: present });
}

// Returns the ink that the fewest people use.
function leastUsedInk() {
  const uses = new Array(INKS).fill(0);
  for (const person of people.values()) if (person.state !== 'gone') uses[person.ink]++;
  return uses.indexOf(Math.min(...uses));
}

// A page sends `hello` when it joins, when its name or ink changes, and after a lost session. The key is
// secret and identifies the person across sessions. The id is public.
function handleHello(connection, { key, name, ink }) {
  const known = connection.data ?? people.get(key);
  const person = known ?? {
    id: randomBytes(6).toString('base64url'),
    received: 0,
    ink: leastUsedInk(),
  };
  if (!known) people.set(key, person);
  Object.assign(person, { name, ink: ink ?? person.ink, state: 'here', connection });
  connection.data = person;
  connection.send({ type: 'you', id: person.id, ink: person.ink, received: person.received });
  broadcastPeople();
  // People who left are kept for a while, because they may come back.
  for (const [old, { state }] of people) {
    if (people.size > 1000 && state === 'gone') people.delete(old);
  }
}

function handleEvent(connection, { n, ...event }) {
  const { id: by, name, ink, received } = connection.data;
  if (event.type === 'cursor') {
    // Cursor positions are only forwarded: they are out of date a moment later.
    sse.broadcast({ ...event, by }, (other) => other !== connection);
    return;
  }
  // Within a session, no message arrives twice. After a lost session, the page does not know whether its
  // unacknowledged messages arrived. It sends them again, and the server skips the numbers it has.
  if (n <= received) return;
  connection.data.received = n;
  publish({ ...event, by, n, ink, ...(event.type !== 'line' && { name, at: Date.now() }) });
}

sse.on('connection', (connection) => {
  const mark = (state) => {
    const person = connection.data;
    if (person?.connection !== connection) return; // the person has reconnected in another session
    person.state = state;
    broadcastPeople();
    // A line that was not finished stays on the board.
    const hasOpenLine = state === 'gone' && board.open.has(person.id);
    if (hasOpenLine) publish({ type: 'lift', by: person.id });
  };
  connection.send({ type: 'snapshot', board });
  connection.on('message', (message) => {
    const event = parse(message);
    if (event?.type === 'hello') handleHello(connection, event);
    else if (event && connection.data) handleEvent(connection, event);
  });
  connection.on('disconnect', () => mark('away'));
  connection.on('reconnect', () => mark('here'));
  connection.on('close', () => mark('gone'));
});

const server = app.listen(Number(process.env.PORT ?? 3000), (error) => {
  if (error) throw error;
  console.log(`The sketch board is at http://localhost:${server.address().port}`);
});

async function stop() {
  await sse.close(); // closes every session; the pages reconnect when the server is back
  server.close();
  // Browsers open connections in advance. Node does not count one without a request as idle, and it
  // would keep the process alive for a minute.
  setTimeout(() => server.closeAllConnections(), 500).unref();
}
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
