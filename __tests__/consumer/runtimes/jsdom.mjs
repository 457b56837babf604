import { JSDOM } from 'jsdom';
import { exchange } from './exchange.mjs';

const [url] = process.argv.slice(2);
const html = `<!doctype html><script src="${url}/client.js"></script>`;
const { window } = new JSDOM(html, { url, runScripts: 'dangerously', resources: 'usable' });
await new Promise((resolve) => window.addEventListener('load', resolve));

let error;
try {
  window.eval('new SseClient("/sse")');
} catch ({ message }) {
  error = message;
}
// jsdom has neither `fetch` nor streams.
const { fetch, Headers, WritableStream, ReadableStream } = globalThis;
Object.assign(window, { Headers, WritableStream, ReadableStream });
const SseClient = window.eval('SseClient');
console.log(JSON.stringify({ error, ...(await exchange(SseClient, '/sse', { fetch })) }));
process.exit();
