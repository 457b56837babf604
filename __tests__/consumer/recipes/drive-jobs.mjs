import assert from 'node:assert/strict';
import { openChannel, until } from './harness.mjs';
import { addJobs } from './jobs.mjs';
import { watchJob } from './watch-job.mjs';
import { SseClient } from 'sse-duplex/client';

const { sse, url, close } = await openChannel();
let report;
let finish;
let runs = 0;
addJobs(sse, (input, onProgress) => {
  runs++;
  if (input === 'throws') throw null;
  report = (percent) => onProgress(`${input} ${percent}`);
  return new Promise((resolve) => (finish = resolve));
});
const stored = new Map();
const storage = {
  getItem: (key) => stored.get(key) ?? null,
  setItem: (key, value) => stored.set(key, value),
};
const seen = [];
const openPage = () => {
  const client = new SseClient(url);
  const start = watchJob(client, storage, (progress) => seen.push(progress));
  return { client, start };
};
const page = openPage();
for (const message of [null, 'text', { unknown: true }, { start: 1 }, { start: 1, job: {} }])
  page.client.send(message); // starts nothing
await new Promise((resolve) => (page.client.onopen = resolve));
sse.broadcast(null);
sse.broadcast({ id: 'of another module' });
page.start('report');
await until(() => seen.length === 1);
report(50);
await until(() => seen.length === 2);
page.client.close();
const reloaded = openPage();
await until(() => seen.length === 3);
finish();
await until(() => seen.length === 4);
report(99); // too late
reloaded.client.send({ watch: stored.get('job') });
await until(() => seen.length === 5);
reloaded.start('another');
await until(() => seen.length === 6);
assert.deepEqual(seen, [0, 'report 50', 'report 50', 'done', 'done', 0]);
const reportAnother = report;
reloaded.start('throws'); // the page watches this one now
await until(() => seen.length === 8);
reportAnother(10); // of the job before
reloaded.client.send({ start: 'throws', job: stored.get('job') }); // starts no second one
await until(() => seen.length === 9);
assert.deepEqual(seen.slice(6), [0, 'failed: null', 'failed: null']);
assert.equal(runs, 3);
stored.set('job', crypto.randomUUID());
reloaded.client.send({ watch: stored.get('job') });
await until(() => seen.length === 10);
assert.equal(seen[9], 'unknown');
assert.equal(
  [...sse.connections].some(({ rooms }) => rooms.includes(`job:${stored.get('job')}`)),
  false,
);
reloaded.client.close();
await close();

// A start that was sent while the session was being lost is sent again, and the job runs once.
const losing = await openChannel({ reconnectTimeout: 0 });
let losingRuns = 0;
addJobs(losing.sse, async () => void losingRuns++);
const { client } = await losing.open();
const progress = [];
stored.clear();
const startAgain = watchJob(client, storage, (value) => progress.push(value));
client.addEventListener('disconnect', () => startAgain('input'), { once: true });
losing.server.closeAllConnections();
await until(() => progress.at(-1) === 'done');
assert.equal(losingRuns, 1);
await losing.close();
