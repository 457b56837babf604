import { fileURLToPath } from 'node:url';
import express from 'express';
import { createSseMiddleware } from 'sse-duplex';

const app = express();
const sse = createSseMiddleware('/sse');
app.use(sse);
app.use(express.static(fileURLToPath(new URL('dist', import.meta.url))));

const votes = { yes: 0, no: 0 };
const publish = () => sse.broadcast({ votes, people: sse.connections.size });

sse.on('connection', (connection) => {
  connection.on('message', (message) => {
    if (message !== 'yes' && message !== 'no') return;
    votes[message]++;
    publish();
  });
  connection.on('close', publish);
  publish();
});

const server = app.listen(process.env.PORT ?? 3000, (error) => {
  if (error) throw error;
  console.log(`Open http://localhost:${server.address().port}`);
});
