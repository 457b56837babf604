import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(__dirname, '../..');
const PROJECT = join(__dirname, 'project');

const NODES = [20, 22, 24] as const;
const EXPRESSES = [4, 5] as const;
const LANGUAGES = ['JS', 'TS'] as const;
const FORMATS = ['require', 'import'] as const;
const COMPILERS = [
  { typescript: '5.9', module: 'node16' },
  { typescript: '7', module: 'nodenext' },
];

type Express = (typeof EXPRESSES)[number];
type Language = (typeof LANGUAGES)[number];

const CELLS = NODES.flatMap((node) =>
  EXPRESSES.flatMap((express) =>
    LANGUAGES.flatMap((language) => FORMATS.map((format) => ({ node, express, language, format }))),
  ),
);

/** With `--noEmitOnError`, a program that does not compile cannot be run. */
const STRICT = [
  ['--strict', '--noEmitOnError', '--skipLibCheck', 'false'],
  ['--target', 'es2022', '--types', 'node'],
].flat();

const INSTALL_TIME = 240_000;
const RUN_TIME = 20_000;

interface Run {
  code: unknown;
  stdout: string;
  stderr: string;
}

let folder: string;
let tarball: { filename: string; files: { path: string }[] };
const compilations = new Map<string, Run>();
const results = new Map<string, string>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sse-duplex-consumer-'));
  const packed = await npm(ROOT, 'pack', '--json', '--pack-destination', folder);
  tarball = (JSON.parse(packed) as [typeof tarball])[0];
  const projects = EXPRESSES.flatMap((express) =>
    LANGUAGES.map((language) => makeProject(express, language)),
  );
  const installations = [installNodes(), ...projects];
  await Promise.allSettled(installations); // lets all of them end before one failure is thrown
  await Promise.all(installations);
}, INSTALL_TIME);

afterAll(async () => {
  printTable();
  await rm(folder, { recursive: true, force: true });
}, RUN_TIME);

/** Returns the environment without the variables that Jest sets, and without colours. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: '1' };
  delete env.FORCE_COLOR;
  delete env.NODE_ENV;
  return env;
}

/** Runs a program. If it does not exit before the timeout, `code` is the signal that stopped it. */
function run(command: string, args: string[], cwd: string, timeout: number): Promise<Run> {
  const env = plainEnvironment();
  return new Promise((ended) => {
    execFile(command, args, { cwd, env, timeout }, (error, stdout, stderr) =>
      ended({ code: error ? (error.code ?? error.signal) : 0, stdout, stderr }),
    );
  });
}

async function npm(cwd: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run('npm', args, cwd, INSTALL_TIME);
  if (code === 0) return stdout;
  throw new Error(
    `"npm ${args.join(' ')}" failed. These tests install packages from the npm registry. Is it reachable?\n${stderr}`,
  );
}

async function install(cwd: string, ...packages: string[]): Promise<void> {
  await mkdir(cwd);
  await writeFile(join(cwd, 'package.json'), '{ "private": true }');
  const flags = [
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
    '--fetch-retries=1',
  ];
  await npm(cwd, 'install', ...flags, ...packages);
}

/** Installs the packages with Node's binaries, which npm's package `node` would install by a script. */
async function installNodes(): Promise<void> {
  const platform = `${process.platform}-${process.arch}`;
  const name = `${platform === 'darwin-arm64' ? 'node-bin' : 'node'}-${platform}`;
  await install(join(folder, 'nodes'), ...NODES.map((node) => `node-${node}@npm:${name}@${node}`));
}

function nodeOf(node: number): string {
  return join(folder, `nodes/node_modules/node-${node}/bin/node`);
}

function projectOf(express: Express, language: Language): string {
  return join(folder, `express-${express}-${language}`);
}

async function makeProject(express: Express, language: Language): Promise<void> {
  const cwd = projectOf(express, language);
  const packages = [join(folder, tarball.filename), `express@${express}`];
  if (language === 'JS') {
    await install(cwd, ...packages);
    await cp(PROJECT, cwd, { recursive: true });
    return;
  }
  const typescripts = COMPILERS.map(
    ({ typescript }) => `typescript-${typescript}@npm:typescript@${typescript}`,
  );
  await install(cwd, ...packages, `@types/express@${express}`, '@types/node@20', ...typescripts);
  const source = await readFile(join(PROJECT, 'round-trip.ts'), 'utf8');
  const program = source.replaceAll(/'(?:\.\.\/)+lib(.*)'/g, "'sse-duplex$1'");
  await writeFile(join(cwd, 'require.cts'), program);
  await writeFile(join(cwd, 'import.mts'), program);
  for (const { typescript, module } of COMPILERS) {
    const tsc = `node_modules/typescript-${typescript}/bin/tsc`;
    const args = [tsc, ...STRICT, '--module', module, 'require.cts', 'import.mts'];
    const compilation = await run(process.execPath, args, cwd, INSTALL_TIME);
    compilations.set(`${express} ${typescript}`, compilation);
  }
}

/** Returns the first code block of a language under a heading. */
function readBlock(text: string, heading: string, language: string): string {
  const [, section = ''] = text.split(`\n## ${heading}\n`);
  const [own = ''] = section.split('\n## ');
  const [, block] = own.split(`\n\`\`\`${language}\n`);
  if (block === undefined) throw new Error(`no ${language} block under "${heading}"`);
  return block.split('\n```')[0]!;
}

function printTable(): void {
  const columns = LANGUAGES.flatMap((language) => FORMATS.map((format) => `${language} ${format}`));
  const rows = NODES.flatMap((node) =>
    EXPRESSES.map((express) => {
      const name = `Node ${node}, Express ${express}`;
      return [name, ...columns.map((column) => results.get(`${name}, ${column}`) ?? 'FAILED')];
    }),
  );
  const lines = [['', ...columns], ...rows].map(([name = '', ...cells]) =>
    [name.padEnd(18), ...cells.map((cell) => cell.padStart(12))].join(''),
  );
  process.stdout.write(`\n${lines.join('\n')}\n\n`);
}

describe('The tarball', () => {
  test('contains the files of its entry points, the documents, and nothing else', () => {
    expect(tarball.files.map(({ path }) => path).sort()).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'PROTOCOL.md',
      'README.md',
      'SECURITY.md',
      'dist/client.d.ts',
      'dist/client.js',
      'dist/client/index.d.mts',
      'dist/client/index.d.ts',
      'dist/client/index.js',
      'dist/client/index.mjs',
      'dist/index.d.mts',
      'dist/index.d.ts',
      'dist/index.js',
      'dist/index.mjs',
      'package.json',
    ]);
  });

  test('passes publint without errors, warnings and suggestions', async () => {
    const args = [join(ROOT, 'node_modules/publint/src/cli.js'), join(folder, tarball.filename)];
    const { code, stdout } = await run(process.execPath, args, folder, RUN_TIME);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\nAll good!\s*$/);
  });
});

describe('A project that installs the tarball', () => {
  const ENTRIES = ['sse-duplex', 'sse-duplex/client', 'sse-duplex/client.js'];

  test('resolves CommonJS files with require', async () => {
    const script = `${JSON.stringify(ENTRIES)}.map((entry) => require.resolve(entry))`;
    const { stdout } = await run(nodeOf(20), ['-p', script], projectOf(5, 'JS'), RUN_TIME);
    const found = [...stdout.matchAll(/sse-duplex\/(dist.*)'/g)].map(([, path]) => path);
    expect(found).toEqual(['dist/index.js', 'dist/client/index.js', 'dist/client.js']);
  });

  test('resolves ES modules with import', async () => {
    const script = `console.log(${JSON.stringify(ENTRIES)}.map((entry) => import.meta.resolve(entry)))`;
    const args = ['--input-type=module', '--eval', script];
    const { stdout } = await run(nodeOf(20), args, projectOf(5, 'JS'), RUN_TIME);
    const found = [...stdout.matchAll(/sse-duplex\/(dist.*)'/g)].map(([, path]) => path);
    expect(found).toEqual(['dist/index.mjs', 'dist/client/index.mjs', 'dist/client.js']);
  });

  test.each(
    EXPRESSES.flatMap((express) => COMPILERS.map((compiler) => ({ express, ...compiler }))),
  )(
    'compiles in strict mode with TypeScript $typescript, module $module and Express $express',
    ({ express, typescript }) => {
      const compilation = compilations.get(`${express} ${typescript}`);
      expect(compilation).toEqual({ code: 0, stdout: '', stderr: '' });
    },
  );

  test.each(EXPRESSES)('uses its own Express %i', async (express) => {
    for (const language of LANGUAGES) {
      const path = join(projectOf(express, language), 'node_modules/express/package.json');
      const { version } = JSON.parse(await readFile(path, 'utf8')) as { version: string };
      expect(version.split('.')[0]).toBe(String(express));
    }
  });

  test.each(CELLS)(
    'exchanges messages and exits by itself: Node $node, Express $express, $language $format',
    async ({ node, express, language, format }) => {
      const program = format === 'require' ? 'require.cjs' : 'import.mjs';
      const start = performance.now();
      const ran = await run(nodeOf(node), [program], projectOf(express, language), RUN_TIME);
      const [output = ''] = ran.stdout.split('.');
      expect({ ...ran, stdout: output }).toEqual({
        code: 0,
        stdout: `done on Node ${node}`,
        stderr: '',
      });
      const time = ((performance.now() - start) / 1000).toFixed(2);
      results.set(`Node ${node}, Express ${express}, ${language} ${format}`, `${time} s`);
    },
    RUN_TIME + 5_000,
  );
});

describe('The quick start of the README', () => {
  const started: ChildProcess[] = [];
  afterEach(() => started.forEach((program) => program.kill()));

  /** Starts a program that keeps running. Returns a function that waits for text in its output. */
  function start(...args: string[]): (pattern: RegExp) => Promise<RegExpExecArray> {
    const env = plainEnvironment();
    const program = spawn(nodeOf(20), args, { cwd: projectOf(5, 'JS'), env });
    started.push(program);
    let output = '';
    program.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    program.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    return (pattern) =>
      new Promise((found, failed) => {
        const look = () => {
          const match = pattern.exec(output);
          if (match) found(match);
        };
        const fail = () =>
          failed(new Error(`${args.join(' ')} did not print ${String(pattern)}, but:\n${output}`));
        setTimeout(fail, RUN_TIME).unref();
        look();
        if (program.exitCode !== null) fail();
        program.stdout.on('data', look);
        program.once('close', fail);
      });
  }

  test(
    'works unchanged: the server, the page, and the client in Node',
    async () => {
      const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
      const cwd = projectOf(5, 'JS');
      await writeFile(join(cwd, 'server.mjs'), readBlock(readme, 'Quick start', 'js'));
      await writeFile(join(cwd, 'index.html'), readBlock(readme, 'Quick start', 'html'));
      const server = start('--require', './any-port.cjs', 'server.mjs');
      const [, port] = await server(/^port (\d+)$/m);

      const program = readBlock(readme, 'From Node', 'js');
      const address = 'http://localhost:3000/';
      expect(program).toContain(address);
      const url = `http://127.0.0.1:${port}/`;
      await writeFile(join(cwd, 'client.mjs'), program.replace(address, url));
      const client = start('client.mjs');
      await client(/^\{ hello: '.+' \}$/m);

      const page = start('page.mjs', url);
      await page(/^\{ hello: '.+' \}$/m);
      await page(/^\{ anything: 'JSON' \}$/m);
      await client(/^\{ anything: 'JSON' \}$/m);
    },
    4 * RUN_TIME,
  );
});
