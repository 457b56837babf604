import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { CERTIFICATE_FILE, certificate } from '../helpers/certificate';
import { messagesOf, next, openClient } from '../helpers/client';
import { httpFetch } from '../helpers/http-fetch';
import { onTestFinished } from '../helpers/on-test-finished';
import { findPort } from '../helpers/programs';
import { waitFor } from '../helpers/wait-for';
import { readFiles } from './pages';
import { QUICKLY, npm, pack, plainEnvironment } from './run';

const ROOT = resolve(__dirname, '../..');
const FILES = readFiles('docs/frameworks.md');
const PACKAGES = [
  ...[
    'express@5.3.0',
    'express4@npm:express@4.22.3',
    'connect@3.7.0',
    'fastify@5.12.8',
    'koa@3.3.0',
  ],
  ...['@nestjs/common', '@nestjs/core', '@nestjs/platform-express'].map(
    (name) => `${name}@11.2.10`,
  ),
  ...['reflect-metadata@0.2.2', 'rxjs@7.8.2', 'hono@4.13.19', '@hono/node-server@2.1.9'],
  ...['vite@7.3.8', 'bun@1.4.5', 'deno@2.9.6'],
];

/** Commands of the programs that are not started with `node`. */
const COMMANDS: Record<string, string[]> = {
  'vite.config.mjs': ['vite', '--config'],
  'bun.mjs': ['bun'],
  'deno.mjs': ['deno', 'run', '--allow-net', '--allow-env', '--allow-read', '--allow-sys'],
};

jest.setTimeout(60_000);

/** The folder of a project that has installed the package and all frameworks. */
let project: string;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'sse-duplex-frameworks-'));
  await writeFile(join(project, 'package.json'), '{}');
  for (const { file, code } of FILES) await writeFile(join(project, file), `${code}\n`);
  for (const file of ['key.pem', 'certificate.pem'])
    await cp(CERTIFICATE_FILE, join(project, file));
  await npm(project, 'install', ...QUICKLY, await pack(ROOT, project), ...PACKAGES);
}, 300_000);

afterAll(() => rm(project, { recursive: true, force: true }));

/** Starts a program, and returns the URL of its channel. */
async function start(file: string): Promise<string> {
  const port = await findPort();
  const [name, ...options] = COMMANDS[file] ?? [];
  const command = name === undefined ? process.execPath : join(project, 'node_modules/.bin', name);
  const child = spawn(command, [...options, file], {
    cwd: project,
    env: { ...plainEnvironment(), PORT: String(port) },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exit = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exit;
  });
  const isSecure = file === 'https.mjs' || file === 'http2.mjs';
  return `${isSecure ? 'https' : 'http'}://localhost:${port}/sse`;
}

test('Each section of docs/frameworks.md about a framework has a program that is run', () => {
  const page = readFileSync(join(ROOT, 'docs/frameworks.md'), 'utf8');
  const sections = [...page.matchAll(/^## (.*)$/gm)].map(([, section]) => section);
  const without = sections.filter((section) => FILES.every((file) => file.section !== section));
  expect(without).toEqual(['Rules for all frameworks', 'Next.js']);
});

describe('The program of docs/frameworks.md', () => {
  test.each(FILES.map(({ file, section }) => [file, section]))(
    '%s (%s) answers text and bytes, and closes',
    async (file) => {
      const url = await start(file);
      // The client repeats its first request until the program listens.
      const client = openClient(url, {
        fetch: (to, init) => httpFetch(to, init, { ca: certificate }),
      });
      const messages = messagesOf(client);
      client.send({ text: 'ü' });
      client.send(new Uint8Array([0, 255]));
      await waitFor(() => messages.length === 2, 30_000);
      expect(messages).toEqual([{ text: 'ü' }, new Uint8Array([0, 255]).buffer]);

      const close = next(client, 'close');
      client.close(3000, 'done');
      expect(await close).toMatchObject({ code: 3000, wasClean: true });
    },
  );
});
