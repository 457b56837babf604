import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import express from 'express';
import { createSseMiddleware } from 'sse-duplex';

const STEP = Number(process.env.STEP ?? 200); // ms

const app = express();
const sse = createSseMiddleware('/sse');
app.use(sse);

/** The percentage of each job, by its id. */
const jobs = new Map();

sse.on('connection', (connection) => {
  connection.on('message', (message) => {
    const { start, watch } = message ?? {}; // a client may send anything, also null
    const id = start ? startJob() : watch;
    if (typeof id !== 'string') return;
    connection.join(`job:${id}`);
    connection.send({ id, percent: jobs.get(id) ?? null });
  });
});

function startJob() {
  const id = randomUUID(); // hard to guess: whoever knows it may watch
  jobs.set(id, 0);
  void work(id);
  return id;
}

async function work(id) {
  for (let percent = 0; percent <= 100; percent += 5) {
    jobs.set(id, percent);
    sse.to(`job:${id}`).send({ id, percent });
    await sleep(STEP);
  }
  setTimeout(() => jobs.delete(id), 60_000).unref();
}

const page = fileURLToPath(new URL('index.html', import.meta.url));
app.get('/', (request, response) => response.sendFile(page));

const server = app.listen(process.env.PORT ?? 3000, (error) => {
  if (error) throw error;
  console.log(`Open http://localhost:${server.address().port}`);
});
