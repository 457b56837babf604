import assert from 'node:assert/strict';
import { openChannel, until } from './harness.mjs';
import { addJobs } from './jobs.mjs';
import { watchJob } from './watch-job.mjs';
import { SseClient } from 'sse-duplex/client';

const { sse, url, close } = await openChannel();
let report;
let finish;
addJobs(sse, (input, onProgress) => {
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
page.client.send({ unknown: true }); // starts nothing
page.start('report');
await until(() => seen.length === 1);
report(50);
await until(() => seen.length === 2);
page.client.close();
const reloaded = openPage();
await until(() => seen.length === 3);
finish();
await until(() => seen.length === 4);
reloaded.start('another');
await until(() => seen.length === 5);
assert.deepEqual(seen, [0, 'report 50', 'report 50', 'done', 0]);
reloaded.client.close();
await close();
