import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { launchChromium } from '../browser/helpers/chromium';
import { messagesOf, next, openClient } from '../helpers/client';
import { onTestFinished } from '../helpers/on-test-finished';
import { findPort, requireProgram } from '../helpers/programs';
import { waitFor } from '../helpers/wait-for';
import { QUICKLY, npm, pack, plainEnvironment, runToEnd } from './run';

const ROOT = resolve(__dirname, '../..');
const EXAMPLES = join(ROOT, 'examples');
const FOLDERS = readdirSync(EXAMPLES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

jest.setTimeout(60_000);

/** A copy of the examples, above which the package and all their dependencies are installed. */
let project: string;
let browser: Browser;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'sse-duplex-examples-'));
  const filter = (path: string) => !path.includes('node_modules');
  await cp(EXAMPLES, project, { recursive: true, filter });
  await writeFile(join(project, 'package.json'), '{}');
  const dependencies = FOLDERS.flatMap((folder) => {
    const text = readFileSync(join(EXAMPLES, folder, 'package.json'), 'utf8');
    const { dependencies: versions } = JSON.parse(text) as { dependencies: Record<string, string> };
    return Object.entries(versions).filter(([name]) => name !== 'sse-duplex');
  });
  const packages = new Set(dependencies.map(([name, version]) => `${name}@${version}`));
  await npm(project, 'install', ...QUICKLY, await pack(ROOT, project), ...packages);
  browser = await launchChromium();
}, 200_000);

afterAll(async () => {
  await (browser as Browser | undefined)?.close();
  await rm(project, { recursive: true, force: true });
});

/** Starts a program of an example. It is ended after the test. */
function start(folder: string, args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = spawn(process.execPath, args, {
    cwd: join(project, folder),
    env: { ...plainEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exit;
  });
  return child;
}

/** Starts an example with the command of its README, and returns the address that it prints. */
async function serve(folder: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const port = await findPort();
  const child = spawn('npm', ['start', '--silent'], {
    cwd: join(project, folder),
    env: { ...plainEnvironment(), PORT: String(port), ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true, // a process group of its own: npm starts the server in another process
  });
  const exit = once(child, 'exit');
  onTestFinished(async () => {
    process.kill(-child.pid!, 'SIGTERM');
    await exit;
  });
  let printed = '';
  child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
  const url = `http://localhost:${port}`;
  await Promise.race([
    waitFor(() => printed.includes(url), 30_000),
    exit.then(() => Promise.reject(new Error(`"npm start" ended: ${printed}`))),
  ]);
  return url;
}

async function openPage(url: string, title: string): Promise<Page> {
  const context = await browser.newContext();
  onTestFinished(() => context.close());
  const page = await context.newPage();
  page.on('pageerror', (error) => {
    throw error;
  });
  await page.goto(url);
  expect(await page.title()).toBe(title);
  return page;
}

test('Each example has a README with its command, and is tested', () => {
  const source = readFileSync(__filename, 'utf8');
  for (const folder of FOLDERS) {
    expect(source).toContain(`'The example ${folder} `);
    expect(readFileSync(join(EXAMPLES, folder, 'README.md'), 'utf8')).toContain(
      'npm install && npm start',
    );
    expect(readFileSync(join(EXAMPLES, 'README.md'), 'utf8')).toContain(`[${folder}](${folder})`);
  }
});

test('The example react contains the hook of docs/recipes/react.md', () => {
  const hook = readFileSync(join(EXAMPLES, 'react/src/use-channel.mjs'), 'utf8');
  expect(readFileSync(join(ROOT, 'docs/recipes/react.md'), 'utf8')).toContain(hook);
});

test.each(['chat', 'progress', 'rpc'])(
  'The server of the example %s continues after messages of any form',
  async (folder) => {
    const url = await serve(folder);
    const client = openClient(`${url}/sse`);
    const odd = { toString: 1, valueOf: 1 };
    const messages = [null, 7, 'text', [], { join: odd, name: odd }, { say: odd }, { watch: odd }];
    for (const message of [...messages, { id: 1, method: odd }, { id: 1, method: 'add' }])
      client.send(message);
    client.close(3000);
    expect(await next(client, 'close')).toMatchObject({ code: 3000, wasClean: true });
    expect((await fetch(url)).status).toBe(200);
  },
);

test('The example chat shows who is present, and what is said', async () => {
  const url = await serve('chat');
  const [ada, ben] = [await openPage(url, 'Chat'), await openPage(url, 'Chat')];
  for (const [page, name] of [
    [ada, 'Ada'],
    [ben, 'Ben'],
  ] as const) {
    expect(await page.getByRole('textbox', { name: 'Message' }).isVisible()).toBe(false);
    await page.getByLabel('Name').fill(name);
    await page.getByRole('button', { name: 'Enter' }).click();
  }
  await ada.getByText('In lobby: Ada, Ben').waitFor();
  await ben.getByRole('textbox', { name: 'Message' }).fill('<b>hello</b>');
  await ben.getByRole('button', { name: 'Send' }).click();
  await ada.getByText('Ben: <b>hello</b>').waitFor();
  await ben.close();
  await ada.getByText('In lobby: Ada', { exact: true }).waitFor();
});

test('The example node-client takes part in the chat', async () => {
  const url = await serve('chat');
  start('node-client', ['bot.mjs', `${url}/sse`]);
  const client = openClient(`${url}/sse`);
  const messages = messagesOf(client);
  client.send({ join: 'lobby', name: 'Ada' });
  await waitFor(() => JSON.stringify(messages).includes('"present":["Ada","Bot"]'));
  client.send({ say: 'hello' });
  const said = () => messages.filter((message) => 'say' in (message as object));
  await waitFor(() => said().length === 2);
  expect(said()).toEqual([
    { from: 'Ada', say: 'hello' },
    { from: 'Bot', say: 'You said "hello"' },
  ]);
});

test('The example rpc answers, and gives up after the timeout', async () => {
  const url = await serve('rpc');
  const page = await openPage(url, 'Requests and responses');
  await page.getByRole('button', { name: 'Add on the server' }).click();
  await page.getByRole('status').getByText('3').waitFor();
  await page.getByRole('button', { name: 'Call a slow method' }).click();
  await page.getByText('Failed: no response in 1000 ms').waitFor();
  const printed = await runToEnd(
    process.execPath,
    ['client.mjs', `${url}/sse`],
    join(project, 'rpc'),
    20_000,
  );
  expect(printed).toBe(
    '1 + 2 = 3\nslow: no response in 200 ms\nmultiply: unknown method "multiply"\n',
  );
});

test('The example authentication closes all pages of a user who signs out', async () => {
  const url = await serve('authentication');
  const page = await openPage(url, 'Sign in');
  await page.getByText('Please sign in').waitFor();
  await page.getByLabel('Your name').fill('Ada');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('Ada has opened a page').waitFor();
  expect(await page.getByLabel('Your name').isVisible()).toBe(false);
  const second = await page.context().newPage();
  await second.goto(url);
  await second.getByRole('button', { name: 'Sign out on all pages' }).click();
  for (const each of [page, second]) await each.getByText('Signed out', { exact: true }).waitFor();
});

test('The example progress continues after a reload', async () => {
  const url = await serve('progress', { STEP: '50' });
  const page = await openPage(url, 'A long job');
  await page.getByRole('button', { name: 'Start' }).click();
  await page.waitForFunction(() => document.querySelector('progress')!.value > 0);
  await page.reload();
  await page.getByText('100 %').waitFor();
});

test('The example react counts the people and their votes', async () => {
  const url = await serve('react');
  const [first, second] = [await openPage(url, 'Vote'), await openPage(url, 'Vote')];
  for (const page of [first, second]) await page.getByText('People on this page: 2').waitFor();
  await first.getByRole('button', { name: 'yes: 0' }).click();
  await second.getByRole('button', { name: 'yes: 1' }).click();
  await first.getByRole('button', { name: 'yes: 2' }).waitFor();
  await second.close();
  await first.getByText('People on this page: 1').waitFor();
});

test('The example redis-cluster counts each press once, whichever node is killed', async () => {
  requireProgram('/usr/bin/redis-server', 'redis-server');
  const url = await serve('redis-cluster');
  const page = await openPage(url, 'Three nodes');
  const press = (name: string) => page.getByRole('button', { name, exact: true }).click();
  for (let kill = 0; kill < 2; kill++) {
    for (let i = 0; i < 5; i++) await press('Count');
    await press('Kill this node');
    for (let i = 0; i < 5; i++) await press('Count');
    const counted = (kill + 1) * 10;
    await page.getByText(`${counted} of ${counted} presses counted`).waitFor();
  }
  await page.getByText('Another node goes on.').nth(1).waitFor();
  expect(await page.getByText('The session is lost.').count()).toBe(0);
});

test('The example websocket-library makes lists equal that were edited without a connection', async () => {
  const url = await serve('websocket-library');
  const [first, second] = [
    await openPage(url, 'Shopping list'),
    await openPage(url, 'Shopping list'),
  ];
  const add = async (page: Page, item: string) => {
    await page.getByLabel('Item').fill(item);
    await page.getByRole('button', { name: 'Add' }).click();
  };
  await add(first, 'bread');
  await second.getByText('bread').waitFor();
  await second.context().setOffline(true);
  await add(second, 'salt');
  await add(first, 'rice');
  await second.context().setOffline(false);
  for (const page of [first, second]) {
    for (const item of ['bread', 'rice', 'salt']) await page.getByText(item).waitFor();
  }
  const lists = [first, second].map((page) => page.getByRole('listitem').allTextContents());
  const [one, other] = await Promise.all(lists);
  expect(one).toEqual(other);
});
