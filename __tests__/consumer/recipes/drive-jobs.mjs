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
  watchJob(client, 'report', storage, (progress) => seen.push(progress));
  return client;
};
const page = openPage();
await until(() => seen.length === 1);
report(50);
await until(() => seen.length === 2);
page.close();
const reloaded = openPage();
await until(() => seen.length === 3);
finish();
await until(() => seen.length === 4);
assert.deepEqual(seen, [0, 'report 50', 'report 50', 'done']);
reloaded.close();
await close();
