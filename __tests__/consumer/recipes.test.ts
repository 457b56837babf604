import { readFileSync, readdirSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { findPort } from '../helpers/programs';
import { readFiles } from './pages';
import { QUICKLY, npm, pack, runToEnd } from './run';

const ROOT = resolve(__dirname, '../..');
const DRIVERS = join(__dirname, 'recipes');
const PAGES = 'docs/recipes';
const FILES = readdirSync(join(ROOT, PAGES)).flatMap((page) => readFiles(`${PAGES}/${page}`));
const PACKAGES = [
  ...['express@5.3.0', 'express-session@1.19.0', 'react@19.3.1', 'react-dom@19.3.1', 'vue@3.5.45'],
  ...['svelte@5.57.3', 'jsdom@29.1.1', '@msgpack/msgpack@3.1.3'],
];
/** What runs the files of the page: programs that fail if something is not as it should be, and the test of the page. */
const PROGRAMS = [
  ...readdirSync(DRIVERS).filter((file) => file.startsWith('drive-')),
  ...FILES.map(({ file }) => file).filter((file) => file.endsWith('.test.mjs')),
];

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
  test.each(PROGRAMS)('works as %s expects', async (program) => {
    const port = await findPort();
    await runToEnd(process.execPath, [program, String(port)], project, 50_000);
  });

  test('has no file that no program imports', () => {
    const imports = PROGRAMS.flatMap((program) => {
      const isDriver = program.startsWith('drive-');
      const source = isDriver
        ? readFileSync(join(DRIVERS, program), 'utf8')
        : FILES.find(({ file }) => file === program)!.code;
      return [program, ...[...source.matchAll(/'\.\/([\w.-]+\.mjs)'/g)].map(([, file]) => file)];
    });
    expect(FILES.map(({ file }) => file).filter((file) => !imports.includes(file))).toEqual([]);
  });
});
