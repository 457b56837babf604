import { spawn } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { openServer } from '../delivery/open-server';
import { onTestFinished } from '../helpers/on-test-finished';
import { waitFor } from '../helpers/wait-for';
import { QUICKLY, npm, pack, runToEnd } from './run';

const ROOT = resolve(__dirname, '../..');
const system = process.platform === 'win32' ? 'win' : process.platform;
const PACKAGES = [
  ...['22.23.5', '24.22.3'].map((version) => {
    const [major] = version.split('.');
    return `node${major}@npm:node-${system}-${process.arch}@${version}`;
  }),
  'bun@1.4.5',
  'deno@2.9.6',
  'workerd@1.20261117.1',
  'jsdom@29.1.1',
  'node-fetch@3.3.2',
  'event-source-polyfill@1.0.31',
  'eventsource3@npm:eventsource@3.0.7',
  'eventsource4@npm:eventsource@4.1.1',
];
jest.setTimeout(60_000);

/** The folder of a project that has installed the package and everything that runs it here. */
let project: string;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'sse-duplex-runtimes-'));
  await cp(join(__dirname, 'runtimes'), project, { recursive: true });
  await writeFile(join(project, 'package.json'), '{}');
  const tarball = await pack(ROOT, project);
  await npm(project, 'install', ...QUICKLY, tarball, ...PACKAGES);
}, 120_000);

afterAll(() => rm(project, { recursive: true, force: true }));

/** Runs a program of the project, and returns what it has printed. Rejects if it fails. */
const run = (command: string, args: string[]) => runToEnd(command, args, project, 100_000);

const bin = (name: string) => join(project, 'node_modules/.bin', name);

/** Starts a server that can cut all its connections. */
async function open() {
  const { server, sse, port, close } = await openServer();
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  onTestFinished(close);
  const cut = () => sockets.forEach((socket) => socket.destroy());
  return { sse, url: `http://127.0.0.1:${port}/sse`, cut };
}

/** Starts a server that echoes, and cuts all connections when a client asks it to. */
async function openEcho(): Promise<string> {
  const { sse, url, cut } = await open();
  sse.on('connection', (connection) => {
    connection.send('welcome');
    connection.on('message', (message) => {
      if (message === 'cut') cut();
      else connection.send({ echo: message });
    });
  });
  return url;
}

const COMPLETE = {
  welcome: 'welcome',
  echoes: 100,
  isInOrder: true,
  handled: 101,
  events: ['open', 'disconnect', 'reconnect', 'close'],
  code: 3000,
  reason: 'done',
  wasClean: true,
};

describe('SseClient delivers each message once, calls each handler once, and closes', () => {
  test.each([
    ['Bun', 'bun', ['plain.mjs']],
    ['Deno', 'deno', ['run', '--allow-net', 'plain.mjs']],
  ])('in %s', async (_, command, args) => {
    const url = await openEcho();
    expect(JSON.parse(await run(bin(command), [...args, url]))).toEqual(COMPLETE);
  });

  test('in workerd', async () => {
    const url = await openEcho();
    const workerd = spawn(
      bin('workerd'),
      ['serve', 'workerd.capnp', '--socket-addr', 'http=127.0.0.1:0', '--control-fd=3'],
      { cwd: project, stdio: ['ignore', 'inherit', 'inherit', 'pipe'] },
    );
    onTestFinished(() => void workerd.kill());
    let control = '';
    workerd.stdio[3]!.on('data', (chunk: Buffer) => (control += chunk.toString()));
    const port = () => /"port":\s*(\d+)/.exec(control)?.[1];
    await waitFor(() => port() !== undefined, 20_000);
    const response = await fetch(`http://127.0.0.1:${port()!}/?url=${encodeURIComponent(url)}`);
    expect(await response.json()).toEqual(COMPLETE);
  });

  test('in jsdom with the option fetch, and throws without it', async () => {
    const url = await openEcho();
    expect(JSON.parse(await run(process.execPath, ['jsdom.mjs', url]))).toEqual({
      ...COMPLETE,
      error: 'there is no global fetch here: pass one as the option "fetch"',
    });
  });

  test('with node-fetch if its bodies are Web Streams, and closes otherwise', async () => {
    const url = await openEcho();
    expect(JSON.parse(await run(process.execPath, ['node-fetch.mjs', url]))).toEqual({
      ...COMPLETE,
      rejection: 'the body of a response is not a ReadableStream: change the option "fetch"',
    });
  });
});

test.each(['node22', 'node24'])('Server and client work together in %s', async (name) => {
  const node = join(project, 'node_modules', name, 'bin/node');
  expect(await run(node, ['--version'])).toMatch(name.replace('node', 'v'));
  const server = spawn(node, ['serve.mjs'], { cwd: project, stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void server.kill());
  let port = '';
  server.stdout.on('data', (chunk: Buffer) => (port += chunk.toString()));
  await waitFor(() => port.endsWith('\n'), 20_000);
  const url = `http://127.0.0.1:${port.trim()}/sse`;
  expect(JSON.parse(await run(node, ['plain.mjs', url]))).toEqual(COMPLETE);
});

describe('The Dart dialect loses no message when all connections are cut before or after the first one', () => {
  test.each(['eventsource3', 'eventsource4', 'event-source-polyfill'])('with %s', async (name) => {
    const { sse, url, cut } = await open();
    let opened = 0;
    sse.on('connection', (connection) => {
      opened++;
      const later = ['first', 'second'];
      const cutSoon = () => setTimeout(cut, 200); // the client has received the beginning of the stream
      cutSoon();
      connection.on('disconnect', () => connection.send(later.shift() ?? 'end'));
      connection.on('reconnect', cutSoon);
    });
    const received = await run(process.execPath, ['event-source.cjs', url, name]);
    expect(JSON.parse(received)).toEqual(['first', 'second']);
    expect(opened).toBe(1);
  });
});
