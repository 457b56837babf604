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
const people = new Map(); // by the secret key that each page makes up when it loads

// The one place where something enters the board. It gets the next number, and then everybody is
// told, the author included: so every page applies the same entries in the same order.
function publish(entry) {
  const numbered = { seq: board.seq + 1, ...entry };
  board.apply(numbered);
  sse.broadcast(numbered);
}

function tellWhoIsHere() {
  const present = [...people.values()]
    .filter(({ state }) => state !== 'gone')
    .map(({ id, name, ink, state }) => ({ id, name, ink, state }));
  sse.broadcast({ type: 'people', people: present });
}

// The one that the fewest are using.
function freshInk() {
  const uses = new Array(INKS).fill(0);
  for (const person of people.values()) if (person.state !== 'gone') uses[person.ink]++;
  return uses.indexOf(Math.min(...uses));
}

// A page says hello when it joins, when its name or ink changes, and again if the server lost its
// session. The key is what makes it the same person then; the id is what the others get to see.
function greet(connection, { key, name, ink }) {
  const known = connection.data ?? people.get(key);
  const person = known ?? { id: randomBytes(6).toString('base64url'), taken: 0, ink: freshInk() };
  if (!known) people.set(key, person);
  Object.assign(person, { name, ink: ink ?? person.ink, state: 'here', connection });
  connection.data = person;
  connection.send({ type: 'you', id: person.id, ink: person.ink, taken: person.taken });
  tellWhoIsHere();
  // Who left is known for a while, and may come back.
  for (const [old, { state }] of people) {
    if (people.size > 1000 && state === 'gone') people.delete(old);
  }
}

function take(connection, { n, ...event }) {
  const { id: by, name, ink, taken } = connection.data;
  if (event.type === 'cursor') {
    // Worth nothing a moment later, so it is passed on and kept nowhere.
    sse.broadcast({ ...event, by }, (other) => other !== connection);
    return;
  }
  // Within a session nothing comes twice. But a page whose session was lost cannot know whether the
  // last things it sent had arrived, so it sends them again, and its own numbers tell.
  if (n <= taken) return;
  connection.data.taken = n;
  publish({ ...event, by, n, ink, ...(event.type !== 'line' && { name, at: Date.now() }) });
}

sse.on('connection', (connection) => {
  const mark = (state) => {
    const person = connection.data;
    if (person?.connection !== connection) return; // that person is back on another connection
    person.state = state;
    tellWhoIsHere();
    const leftLine = state === 'gone' && board.open.has(person.id);
    if (leftLine) publish({ type: 'lift', by: person.id }); // half drawn, and it stays
  };
  connection.send({ type: 'snapshot', board });
  connection.on('message', (message) => {
    const event = parse(message);
    if (event?.type === 'hello') greet(connection, event);
    else if (event && connection.data) take(connection, event);
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
  await sse.close(); // tells every page, and lets go of their streams
  server.close();
  // Browsers open connections ahead of need. One that never got a request would hold us for a minute.
  setTimeout(() => server.closeAllConnections(), 500).unref();
}
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
