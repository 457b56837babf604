import { fileURLToPath } from 'node:url';
import express from 'express';
import { createSseMiddleware } from 'sse-duplex';

const app = express();
const sse = createSseMiddleware('/sse');
app.use(sse);

sse.on('connection', (connection) => {
  connection.on('message', (message) => {
    const { join, name, say } = message ?? {}; // a client may send anything, also null
    if (isText(join) && isText(name)) enter(connection, join, name);
    else if (isText(say) && connection.data) {
      const { room, name: from } = connection.data;
      sse.to(room).send({ from, say });
    }
  });
  connection.on('close', () => leave(connection));
});

function isText(value) {
  return typeof value === 'string' && value !== '' && value.length <= 500;
}

function enter(connection, room, name) {
  leave(connection);
  connection.data = { room, name };
  connection.join(room);
  announce(room);
}

function leave(connection) {
  if (!connection.data) return;
  const { room } = connection.data;
  connection.data = undefined;
  connection.leave(room);
  announce(room);
}

// Tells the members of a room who is present. A person with two windows is listed once.
function announce(room) {
  const members = [...sse.connections].filter(({ data }) => data?.room === room);
  const present = [...new Set(members.map(({ data }) => data.name))].sort();
  sse.to(room).send({ room, present });
}

const page = fileURLToPath(new URL('index.html', import.meta.url));
app.get('/', (request, response) => response.sendFile(page));

const server = app.listen(process.env.PORT ?? 3000, (error) => {
  if (error) throw error;
  console.log(`Open http://localhost:${server.address().port}`);
});
