import { readFileSync, readdirSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { requireChromium } from '../browser/helpers/chromium-program';
import { findPort } from '../helpers/programs';
import { readFiles } from './pages';
import { QUICKLY, npm, pack, runToEnd } from './run';

const ROOT = resolve(__dirname, '../..');
const DRIVERS = join(__dirname, 'recipes');
const PAGES = 'docs/recipes';
const FILES = readdirSync(join(ROOT, PAGES)).flatMap((page) => readFiles(`${PAGES}/${page}`));
const PACKAGES = [
  ...['express@5.3.0', 'express-session@1.19.0', 'react@19.3.1', 'react-dom@19.3.1', 'vue@3.5.45'],
  ...['svelte@5.57.3', 'jsdom@29.1.1', '@msgpack/msgpack@3.1.3', 'jose@6.2.18'],
  ...['jest@30.5.2', 'vitest@4.1.12', 'supertest@7.3.2', '@playwright/test@1.65.1'],
];
/** What runs the files of the pages: programs that fail if something is not as it should be, and the tests of a page. */
const PROGRAMS = [
  ...readdirSync(DRIVERS).filter((file) => file.startsWith('drive-')),
  ...FILES.map(({ file }) => file).filter((file) => /\.(test|playwright)\.mjs$/.test(file)),
];
/** The arguments of Node that start a runner of tests, for files with its name. The other files are programs. */
const RUNNERS: Record<string, string[]> = {
  jest: ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js'],
  playwright: ['node_modules/@playwright/test/cli.js', 'test'],
  vitest: ['node_modules/vitest/vitest.mjs', 'run'],
};

jest.setTimeout(60_000);

/** The folder of a project that has installed the package and what the recipes use. */
let project: string;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'sse-duplex-recipes-'));
  await cp(DRIVERS, project, { recursive: true });
  await writeFile(join(project, 'package.json'), '{}');
  for (const { file, code } of FILES) await writeFile(join(project, file), `${code}\n`);
  await npm(project, 'install', ...QUICKLY, await pack(ROOT, project), ...PACKAGES);
}, 240_000);

afterAll(() => rm(project, { recursive: true, force: true }));

describe('docs/recipes', () => {
  test.each(PROGRAMS)('passes %s', async (program) => {
    const port = String(await findPort());
    const runner = RUNNERS[program.split('.')[1]!];
    const args = runner ? [...runner, program] : [program, port];
    const variables = { PORT: port, CHROMIUM: requireChromium() };
    await runToEnd(process.execPath, args, project, 50_000, variables);
  });

  test('has no file that no program uses', () => {
    const sources = new Map(FILES.map(({ file, code }) => [file, code]));
    const used = new Set([...PROGRAMS, 'playwright.config.mjs']);
    for (const file of used) {
      const source = sources.get(file) ?? readFileSync(join(DRIVERS, file), 'utf8');
      for (const name of sources.keys()) {
        if (source.slice(source.indexOf('\n')).includes(name)) used.add(name);
      }
    }
    expect([...sources.keys()].filter((file) => !used.has(file))).toEqual([]);
  });

  test('has no two files with the same name', () => {
    const names = FILES.map(({ file }) => file);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });
});
