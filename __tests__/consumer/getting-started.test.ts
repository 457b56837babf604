import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { launchChromium, openPage } from '../browser/helpers/chromium';
import { next, openClient } from '../helpers/client';
import { onTestFinished } from '../helpers/on-test-finished';
import { findPort, waitUntilListening } from '../helpers/programs';
import { waitFor } from '../helpers/wait-for';
import { readBlocks, readFiles } from './pages';
import { INSTALL_TIME, QUICKLY, npm, pack, plainEnvironment, runToEnd } from './run';

const ROOT = resolve(__dirname, '../..');
const PAGE = 'docs/getting-started.md';
const FILES = readFiles(PAGE);
/** The lines of the page that a reader types into a terminal. */
const COMMANDS = readBlocks(PAGE)
  .filter(({ language }) => language === 'sh')
  .flatMap(({ code }) => code.split('\n'));
/** The versions of the packages that the page installs beside this one. */
const VERSIONS: Record<string, string> = {
  express: '5.3.0',
  'express-session': '1.19.0',
  typescript: '7.0.2',
  '@types/node': '26.6.6',
  '@types/express': '5.0.6',
};

jest.setTimeout(60_000);

/** The folder of a project in which all commands of the page that install something were run. */
let project: string;
let browser: Browser;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'sse-duplex-getting-started-'));
  await npm(project, 'init', '-y');
  await mkdir(join(project, 'public'));
  for (const { file, code } of FILES) await writeFile(join(project, file), `${code}\n`);
  const packages = Object.entries(VERSIONS).map(([name, version]) => `${name}@${version}`);
  await npm(project, 'install', ...QUICKLY, await pack(ROOT, project), ...packages);
  browser = await launchChromium();
}, INSTALL_TIME);

afterAll(async () => {
  await (browser as Browser | undefined)?.close();
  await rm(project, { recursive: true, force: true });
});

/** Starts a program on a port, and waits until it listens. It is killed after the test. */
async function start(file: string, port: number) {
  const child = spawn(process.execPath, [file], {
    cwd: project,
    env: { ...plainEnvironment(), PORT: String(port) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = once(child, 'exit') as Promise<[number | null, string | null]>;
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const end = (signal: NodeJS.Signals) => {
    child.kill(signal);
    return exit;
  };
  onTestFinished(() => end('SIGKILL'));
  await waitUntilListening(port);
  return { end, output: () => output };
}

const compile = () =>
  runToEnd(process.execPath, ['node_modules/typescript/bin/tsc'], project, 50_000);

/** Opens a page in two windows. */
async function openWindows(...urls: [string, string]): Promise<[Page, Page]> {
  return [await openPage(browser, urls[0]), await openPage(browser, urls[1])];
}

async function sendFrom(page: Page, text: string): Promise<void> {
  await page.getByLabel('Message').fill(text);
  await page.getByRole('button', { name: 'Send' }).click();
}

const item = (page: Page, text: string) => page.getByRole('listitem').getByText(text);
const state = (page: Page, text: string) => page.getByText(`State: ${text}`, { exact: true });

test('The tests install the packages that docs/getting-started.md installs, and run its programs', () => {
  const installed = COMMANDS.filter((line) => line.startsWith('npm install'))
    .flatMap((line) => line.split(' ').slice(2))
    .filter((word) => word !== 'sse-duplex' && !word.startsWith('--'));
  expect(installed.sort()).toEqual(Object.keys(VERSIONS).sort());
  const started = COMMANDS.filter((line) => line.startsWith('node '));
  expect(started).toEqual([
    'node server.mjs',
    'node build/typed-server.mjs',
    'node sign-in.mjs',
    'node --test',
  ]);
});

test('Two windows talk to each other, and continue after a restart of the server', async () => {
  const port = await findPort();
  const url = `http://localhost:${port}`;
  const server = await start('server.mjs', port);
  await waitFor(() => server.output() === `Open ${url} in two windows\n`, 5_000, server.output);
  const [one, two] = await openWindows(url, url);
  await item(one, 'Welcome! Windows connected: 1').waitFor();
  await item(two, 'Welcome! Windows connected: 2').waitFor();
  await sendFrom(one, 'Hello from one');
  await sendFrom(two, 'Hello from two');
  for (const page of [one, two]) {
    await item(page, 'Hello from one').waitFor();
    await item(page, 'Hello from two').waitFor();
    await state(page, 'connected').waitFor();
  }

  await server.end('SIGKILL');
  for (const page of [one, two]) await state(page, 'connecting').waitFor();
  await sendFrom(two, 'Sent meanwhile');
  await start('server.mjs', port);
  await item(two, 'Sent meanwhile').waitFor();
  for (const page of [one, two]) await state(page, 'connected').waitFor();
  await sendFrom(one, 'Hello again');
  await item(two, 'Hello again').waitFor();
  expect(await item(two, 'Sent meanwhile').count()).toBe(1);
});

test.each(['server.mjs', 'rooms.mjs', 'build/typed-server.mjs'])(
  '%s continues after messages of any form',
  async (file) => {
    if (file.startsWith('build/')) await compile();
    const port = await findPort();
    await start(file, port);
    const url = `http://localhost:${port}/sse`;
    const client = openClient(url);
    const odd = { toString: 1, valueOf: 1 };
    for (const message of [7, [], odd, { say: odd }, { join: '', name: odd }, { join: odd }, null])
      client.send(message);
    await waitFor(() => client.bufferedAmount === 0);
    await next(openClient(url), 'open');
  },
);

test('The server reports that its port is in use', async () => {
  const port = await findPort();
  await start('server.mjs', port);
  const env = { ...plainEnvironment(), PORT: String(port) };
  const second = spawn(process.execPath, ['server.mjs'], { cwd: project, env });
  let errors = '';
  second.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  expect(await once(second, 'close')).toEqual([1, null]);
  expect(errors).toContain('EADDRINUSE');
});

test('The programs in TypeScript compile, and exchange a message', async () => {
  await compile();
  const port = await findPort();
  await start('build/typed-server.mjs', port);
  const client = spawn(process.execPath, ['build/typed-client.mjs'], {
    cwd: project,
    env: { ...plainEnvironment(), PORT: String(port) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => client.kill('SIGKILL'));
  const [printed] = (await once(client.stdout, 'data')) as [Buffer];
  expect(printed.toString()).toBe('1: Hello from TypeScript\n');
});

test('Two windows see who is in their room, and what is said there', async () => {
  const port = await findPort();
  const url = `http://localhost:${port}/rooms.html`;
  await start('rooms.mjs', port);
  const [ada, ben] = await openWindows(`${url}?name=Ada`, `${url}?name=Ben`);
  const eve = await openPage(browser, `${url}?name=Eve&room=office`);
  for (const page of [ada, ben]) await page.getByText('In lobby: Ada, Ben').waitFor();
  await eve.getByText('In office: Eve').waitFor();
  await sendFrom(ben, '<b>hello</b>');
  for (const page of [ada, ben]) await item(page, 'Ben: <b>hello</b>').waitFor();
  await ben.close();
  await ada.getByText('In lobby: Ada', { exact: true }).waitFor();
  await sendFrom(eve, 'done');
  await item(eve, 'Eve: done').waitFor();
  expect(await eve.getByRole('listitem').allTextContents()).toEqual(['Eve: done']);
});

test('Two windows sign in as different users, and signing out closes them', async () => {
  const port = await findPort();
  const url = `http://localhost:${port}`;
  await start('sign-in.mjs', port);
  const pages = await openWindows(url, url);
  for (const [index, page] of pages.entries()) {
    await state(page, 'closed (1006 not authorized)').waitFor();
    await page.goto(`${url}/sign-in.html`);
    await page.getByLabel('Name').fill(['Ada', 'Ben'][index]!);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await state(page, 'connected').waitFor();
  }
  const [ada, ben] = pages;
  await sendFrom(ada, 'hello');
  for (const page of pages) await item(page, 'Ada: hello').waitFor();

  const second = await ada.context().newPage();
  await second.goto(`${url}/sign-in.html`);
  await second.getByRole('button', { name: 'Sign out' }).click();
  await state(ada, 'closed (4401 signed out)').waitFor();
  await sendFrom(ben, 'still here');
  await item(ben, 'Ben: still here').waitFor();
});

test.each(['SIGINT', 'SIGTERM'] as const)(
  'After %s the server ends, and its clients connect to the next one',
  async (signal) => {
    const port = await findPort();
    const url = `http://localhost:${port}/rooms.html`;
    const server = await start('main.mjs', port);
    const [ada, ben] = await openWindows(`${url}?name=Ada`, `${url}?name=Ben`);
    for (const page of [ada, ben]) await page.getByText('In lobby: Ada, Ben').waitFor();
    expect(await server.end(signal)).toEqual([0, null]);
    await start('main.mjs', port);
    await sendFrom(ada, 'back');
    await item(ada, 'Ada: back').waitFor();
    for (const page of [ada, ben]) await page.getByText('In lobby: Ada, Ben').waitFor();
  },
);

test('The test of docs/getting-started.md passes', async () => {
  const output = await runToEnd(process.execPath, ['--test'], project, 50_000);
  expect(output).toMatch(/^(#|ℹ) pass 1$/m);
  expect(output).toMatch(/^(#|ℹ) fail 0$/m);
});

test('The doctor finds no problem on the way to the server', async () => {
  const port = await findPort();
  await start('server.mjs', port);
  const command = COMMANDS.find((line) => line.includes(' doctor '))!;
  const [, name, ...args] = command.replace('3000', String(port)).split(' ');
  const program = join(project, 'node_modules/.bin', name!);
  const output = await runToEnd(program, [...args, '--idle', '0'], project, 50_000);
  expect(output).toContain('Clients will stream messages');
});

test('docs/getting-started.md has no program that is not run', () => {
  const run = [
    ...['server.mjs', 'public/index.html', 'messages.mts', 'typed-server.mts', 'typed-client.mts'],
    ...['tsconfig.json', 'rooms.mjs', 'public/rooms.html', 'sign-in.mjs', 'public/sign-in.html'],
    ...['stop.mjs', 'main.mjs', 'rooms.test.mjs'],
  ];
  expect(FILES.map(({ file }) => file)).toEqual(run);
});
