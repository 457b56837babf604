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
import { findPort } from '../helpers/programs';
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

/** Starts the server of an example, and returns its address. */
async function serve(folder: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const port = await findPort();
  const child = start(folder, ['server.mjs'], { PORT: String(port), ...env });
  const [text] = (await once(child.stdout!, 'data')) as [Buffer];
  expect(text.toString()).toContain(`http://localhost:${port}`);
  return `http://localhost:${port}`;
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

test.each(['chat', 'progress', 'rpc'])(
  'The server of %s continues after messages of any form',
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
