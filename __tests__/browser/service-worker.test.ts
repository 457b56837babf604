import { join } from 'node:path';
import { buildSync } from 'esbuild';
import type { Browser } from 'playwright-core';
import type { SseClient as Client } from '../../lib/client';
import { launchChromium, openPage } from './helpers/chromium';
import { Host } from './helpers/host';

interface ClientWindow extends Window {
  SseClient: typeof Client;
  received: unknown[];
  events: string[];
}

jest.setTimeout(60_000);

let browser: Browser;

beforeAll(async () => {
  browser = await launchChromium();
});

afterAll(() => browser.close());

const [worker] = buildSync({
  entryPoints: [join(__dirname, 'helpers/network-first-worker.mjs')],
  bundle: true,
  write: false,
  define: { 'process.env.NODE_ENV': '"production"' },
}).outputFiles;

const PAGE = `<!doctype html>
  <title>page</title>
  <script src="/sse/client.js"></script>
  <script type="module">
    navigator.serviceWorker.register('/worker.js');
    await navigator.serviceWorker.ready;
    while (!navigator.serviceWorker.controller) await new Promise((next) => setTimeout(next, 10));
    window.received = [];
    window.events = [];
    const client = new SseClient('/sse', { backoff: () => 50, transport: 'poll' });
    client.onmessage = ({ data }) => received.push(data);
    for (const type of ['open', 'error', 'disconnect', 'reconnect', 'sessionlost', 'close']) {
      client.addEventListener(type, ({ message }) => events.push(message ?? type));
    }
  </script>`;

describe('An SseClient on a page whose service worker answers from a cache (Workbox, NetworkFirst)', () => {
  test('does not read a cached poll, and resumes its session when the server is back', async () => {
    let isDown = false;
    const host = await Host.open({
      ahead: (request, _response, next) => {
        if (isDown) request.socket.destroy();
        else next();
      },
      pages: (app) => {
        app.get('/page', (_request, response) => void response.type('html').send(PAGE));
        app.get('/worker.js', (_request, response) => void response.type('js').send(worker!.text));
      },
    });
    const page = await openPage(browser, `${host.origin}/page`);
    const { connection } = await host.visit();
    for (const message of ['a', 'b', 'c']) connection.send(message);
    const window = await page.evaluateHandle(() => globalThis.window as unknown as ClientWindow);
    const has = (count: number) =>
      page.waitForFunction(([own, n]) => own.received.length >= n, [window, count] as const);
    await has(3);

    isDown = true;
    host.cutAll(); // the worker now answers with the poll that contained the messages
    await page.waitForFunction((own) => own.events.some((text) => /cache/.test(text)), window);
    connection.send('d');
    isDown = false;
    await has(4);
    expect(await window.evaluate((own) => own.received)).toEqual(['a', 'b', 'c', 'd']);
    const events = await window.evaluate((own) => own.events);
    expect(events.slice(0, 2)).toEqual(['open', 'disconnect']);
    expect(events).toContain('invalid hello: messages lost, or answered by a cache');
    expect(events.at(-1)).toBe('reconnect');
    expect(host.visits.length).toBe(1);
  });
});
