import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { Browser } from 'playwright-core';
import { launchChromium, openPage } from '../browser/helpers/chromium';
import { next, openClient } from '../helpers/client';
import { onTestFinished } from '../helpers/on-test-finished';
import { findPort, waitUntilListening } from '../helpers/programs';
import { waitFor } from '../helpers/wait-for';
import { readFiles } from './pages';
import { INSTALL_TIME, QUICKLY, npm, pack, plainEnvironment } from './run';

const ROOT = resolve(__dirname, '../..');
const FILES = readFiles('docs/migrating.md');
const PACKAGES = [
  ...['express@5.3.0', 'socket.io@4.8.4', 'socket.io-client@4.8.4', 'ws@8.23.0'],
  ...['sockjs@0.3.24', 'sockjs-client@1.6.1'],
];

/** Pairs of a server and a client, and the lines that the client prints. */
const PAIRS: [server: string, client: string, lines: string[]][] = [
  ...['before', 'after'].map<[string, string, string[]]>((when) => [
    `socketio/${when}-server.mjs`,
    `socketio/${when}-client.mjs`,
    ['chat: hello', 'sum: 3'],
  ]),
  ...['sockjs/before', 'sockjs/after', 'ws/before', 'ws/kept', 'ws/after'].map<
    [string, string, string[]]
  >((name) => [`${name}-server.mjs`, `${name}-client.mjs`, ['hello']]),
  ['dart/after-server.mjs', 'dart/either-client.mjs', ['You said: hello']],
];
/** Servers, and the pages that they serve. */
const PAGES: [server: string, page: string][] = [
  ['eventsource/before-server.mjs', 'eventsource/before.html'],
  ['eventsource/after-server.mjs', 'eventsource/after.html'],
];

jest.setTimeout(60_000);

/** The folder of a project that has installed the package and its predecessors. */
let project: string;
let browser: Browser;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'sse-duplex-migrating-'));
  await writeFile(join(project, 'package.json'), '{}');
  for (const { file, code } of FILES) {
    await mkdir(join(project, dirname(file)), { recursive: true });
    await writeFile(join(project, file), `${code}\n`);
  }
  await npm(project, 'install', ...QUICKLY, await pack(ROOT, project), ...PACKAGES);
  browser = await launchChromium();
}, INSTALL_TIME);

afterAll(async () => {
  await (browser as Browser | undefined)?.close();
  await rm(project, { recursive: true, force: true });
});

/** Starts a program. Returns a function that returns the lines that it has printed so far. */
function start(file: string, port: number): () => string[] {
  const child = spawn(process.execPath, [file], {
    cwd: project,
    env: { ...plainEnvironment(), PORT: String(port) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exit;
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return () => output.split('\n').slice(0, -1);
}

async function serve(file: string): Promise<number> {
  const port = await findPort();
  start(file, port);
  await waitUntilListening(port);
  return port;
}

test.each(PAIRS)('%s and %s exchange the same messages', async (server, client, lines) => {
  const printed = start(client, await serve(server));
  await waitFor(() => printed().length === lines.length, 30_000);
  expect(printed()).toEqual(lines);
});

test.each(PAGES)('%s and %s exchange the same message', async (server, path) => {
  const port = await serve(server);
  const page = await openPage(browser, `http://localhost:${port}/${path.split('/')[1]}`);
  await page.getByText('hello').waitFor();
  expect(await page.locator('pre').textContent()).toBe('hello\n');
});

test.each([
  ['socketio/after-server.mjs', '/sse'],
  ['sockjs/after-server.mjs', '/channel'],
  ['ws/kept-server.mjs', '/channel'],
  ['ws/after-server.mjs', '/channel'],
  ['eventsource/after-server.mjs', '/events'],
  ['dart/after-server.mjs', '/sse'],
])('%s continues after messages of any form', async (server, path) => {
  const url = `http://localhost:${await serve(server)}${path}`;
  const client = openClient(url, { headers: { authorization: 'Bearer secret' } });
  const odd = { toString: 1, valueOf: 1 };
  for (const message of [null, 7, 'text', [], odd, { type: odd }, { type: 'add', a: odd, b: odd }])
    client.send(message);
  client.close(3000);
  expect(await next(client, 'close')).toMatchObject({ code: 3000, wasClean: true });
  await next(openClient(url, { headers: { authorization: 'Bearer secret' } }), 'open');
});

test('docs/migrating.md has no program that is not run', () => {
  const run = [...PAIRS.flatMap(([server, client]) => [server, client]), ...PAGES.flat()];
  expect(FILES.map(({ file }) => file).sort()).toEqual(run.sort());
});
