import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, posix, resolve, sep } from 'node:path';
import { buildSync } from 'esbuild';
import { version } from '../../package.json';
import { INSTALL_TIME, QUICKLY, npm, plainEnvironment, run, runToEnd } from './run';
import type { Run } from './run';

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

/** If a program does not compile, there is no output to run. */
const STRICT = [
  ['--strict', '--noEmitOnError', '--skipLibCheck', 'false'],
  ['--target', 'es2022', '--types', 'node'],
].flat();

const RUN_TIME = 20_000;

const DART_PROGRAM = `import { DartSseClient } from 'sse-duplex/dart';
const client = new DartSseClient<string, { type: 'hello' }>('http://127.0.0.1/sse');
client.send({ type: 'hello' });
// @ts-expect-error: not the type of a message
client.send(1);
`;
const REDIS_PROGRAM = `import { createSseMiddleware } from 'sse-duplex';
import { redisCluster } from 'sse-duplex/redis';
import type { NodeRedisClient } from 'sse-duplex/redis';
declare const client: NodeRedisClient;
createSseMiddleware('/sse', { cluster: redisCluster(client, { prefix: 'shop' }) });
// @ts-expect-error: not a client
redisCluster('redis://localhost');
`;
const WEBSOCKET_PROGRAM = `import { createSseMiddleware } from 'sse-duplex';
import { SseWebSocket } from 'sse-duplex/websocket';
import { SseWebSocketServer } from 'sse-duplex/ws';
const server = new SseWebSocketServer(createSseMiddleware('/sse', { subpaths: true }));
server.on('connection', (socket, request) => {
  socket.on('message', (data, isBinary) => socket.send(isBinary ? 'bytes' : String(data)));
  console.log(request.url, server.clients.size);
});
// Libraries take the class where they expect that of the platform.
const Class: typeof WebSocket = SseWebSocket.with({ headers: { authorization: 'token' } });
const socket = new SseWebSocket('ws://127.0.0.1/sse', ['one', 'two']);
socket.onmessage = ({ data }) => console.log(Class.OPEN, data);
// @ts-expect-error: not a type of data
socket.send({ type: 'hello' });
`;
/** Compiled without the DOM's declarations, as in a project for Node: no type may become `any` there. */
const NO_DOM_PROGRAM = `import { SseClient } from 'sse-duplex/client';
type IsAny<T> = 0 extends 1 & T ? true : false;
const client = new SseClient<{ id: number }, string>('http://127.0.0.1/sse', {
  // @ts-expect-error: no such value
  credentials: 'wrong',
  headers: () => new Headers(),
  fetch: (url, init) => {
    const isAny: IsAny<typeof init> = false;
    return isAny ? fetch(url) : fetch(url, init);
  },
});
client.onmessage = (event) => {
  const areAny: [IsAny<typeof event>, IsAny<typeof event.data>] = [false, false];
  console.log(areAny, event.data.id.toFixed());
};
client.addEventListener('close', (event) => console.log(event.code.toFixed(), event.type), {
  // @ts-expect-error: no such option
  wrong: true,
});
const streams: [IsAny<typeof client.stream>, IsAny<typeof client.sink>] = [false, false];
console.log(streams);
`;
const PROGRAMS = [
  'require.cts',
  'import.mts',
  ...['dart', 'redis', 'websocket'].flatMap((name) => [`${name}.cts`, `${name}.mts`]),
];

/** The bundles of the package. */
const ENTRY_FILES = [
  'index',
  'client/index',
  'dart/index',
  'redis/index',
  'websocket/index',
  'ws/index',
];

/** The folder of all clones and projects of this run. */
let place: string;
/** A clone of the repository without dependencies and without a build. */
let clone: string;
let tarball: { filename: string; files: { path: string }[] };
const compilations = new Map<string, Run>();
const results = new Map<string, string>();

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), 'sse-duplex-consumer-'));
  clone = await makeClone();
  tarball = await packClone();
  const projects = EXPRESSES.flatMap((express) =>
    LANGUAGES.map((language) => makeProject(express, language)),
  );
  const installations = [installNodes(), installFromGit(), ...projects];
  await Promise.allSettled(installations); // no installation may continue after another has failed
  await Promise.all(installations);
}, INSTALL_TIME);

afterAll(async () => {
  printTable();
  await rm(place, { recursive: true, force: true });
}, RUN_TIME);

/** Copies the files that git would track, so that changes are tested before they are committed. */
async function makeClone(): Promise<string> {
  const folder = join(place, 'clone');
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const files = (await git(ROOT, ...list)).split('\0').filter(Boolean);
  for (const file of files) await cp(join(ROOT, file), join(folder, file));
  await git(folder, 'init', '--quiet');
  await git(folder, 'add', '--all');
  const identity = ['-c', 'user.name=test', '-c', 'user.email=test@localhost'];
  await git(folder, ...identity, 'commit', '--quiet', '--no-gpg-sign', '--message', 'Clone');
  return folder;
}

/** Packs the clone as a maintainer would do it. Nothing has been built there before. */
async function packClone(): Promise<typeof tarball> {
  // The dependencies' scripts and ours do not run yet, so that it is `npm pack` that has to build.
  await npm(clone, 'ci', '--ignore-scripts', ...QUICKLY);
  const packed = await npm(clone, 'pack', '--json', '--pack-destination', place);
  const [description] = JSON.parse(packed) as [typeof tarball];
  return description;
}

/** Installs the package from a git repository, which makes npm build it. */
async function installFromGit(): Promise<void> {
  const cwd = join(place, 'from-git');
  await makeFolder(cwd);
  await npm(cwd, 'install', ...QUICKLY, `git+file://${clone}`, 'express@5');
  await cp(PROJECT, cwd, { recursive: true });
}

function git(cwd: string, ...args: string[]): Promise<string> {
  return runToEnd('git', args, cwd, INSTALL_TIME);
}

async function install(cwd: string, ...packages: string[]): Promise<void> {
  await makeFolder(cwd);
  await npm(cwd, 'install', '--ignore-scripts', ...QUICKLY, ...packages);
}

async function makeFolder(cwd: string): Promise<void> {
  await mkdir(cwd);
  await writeFile(join(cwd, 'package.json'), '{ "private": true }');
}

/** Installs the packages with Node's binaries. npm's package `node` is a script that installs one. */
async function installNodes(): Promise<void> {
  const platform = `${process.platform}-${process.arch}`;
  const name = `${platform === 'darwin-arm64' ? 'node-bin' : 'node'}-${platform}`;
  await install(join(place, 'nodes'), ...NODES.map((node) => `node-${node}@npm:${name}@${node}`));
}

function nodeOf(node: number): string {
  return join(place, `nodes/node_modules/node-${node}/bin/node`);
}

function projectOf(express: Express, language: Language): string {
  return join(place, `express-${express}-${language}`);
}

async function makeProject(express: Express, language: Language): Promise<void> {
  const cwd = projectOf(express, language);
  const packages = [join(place, tarball.filename), `express@${express}`];
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
  await writeFile(join(cwd, 'dart.cts'), DART_PROGRAM);
  await writeFile(join(cwd, 'dart.mts'), DART_PROGRAM);
  await writeFile(join(cwd, 'redis.cts'), REDIS_PROGRAM);
  await writeFile(join(cwd, 'redis.mts'), REDIS_PROGRAM);
  await writeFile(join(cwd, 'websocket.cts'), WEBSOCKET_PROGRAM);
  await writeFile(join(cwd, 'websocket.mts'), WEBSOCKET_PROGRAM);
  await writeFile(join(cwd, 'no-dom.mts'), NO_DOM_PROGRAM);
  for (const { typescript, module } of COMPILERS) {
    const tsc = `node_modules/typescript-${typescript}/bin/tsc`;
    const args = [tsc, ...STRICT, '--module', module, ...PROGRAMS];
    const compilation = await run(process.execPath, args, cwd, INSTALL_TIME);
    compilations.set(`${express} ${typescript}`, compilation);
    const noDom = ['--lib', 'es2022', '--module', module, 'no-dom.mts'];
    const other = await run(process.execPath, [tsc, ...STRICT, ...noDom], cwd, INSTALL_TIME);
    compilations.set(`${express} ${typescript} without the DOM`, other);
  }
}

/** Returns the code block of the README whose first line names the file. */
function readBlock(readme: string, file: string): string {
  const blocks = [...readme.matchAll(/\n```\w+\n([^]*?)\n```/g)].map(([, code]) => code!);
  const block = blocks.find((code) => code.split('\n')[0]!.includes(` ${file}`));
  if (block === undefined) throw new Error(`the README has no code block for "${file}"`);
  return block;
}

/** Returns the paths of the files in a folder of the clone, from its root. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(join(clone, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map(({ name, parentPath }) => join(parentPath, name).slice(clone.length + 1))
    .map((path) => path.split(sep).join('/'));
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

describe('the tarball of a fresh clone', () => {
  test('contains the build, the sources, the documents, and nothing else', async () => {
    const entries = ENTRY_FILES.flatMap((entry) =>
      ['d.mts', 'js', 'js.map', 'mjs', 'mjs.map'].map((ending) => `dist/${entry}.${ending}`),
    );
    const sources = await filesIn('lib');
    const declarations = sources
      // Only the drop-in script and the command contain these.
      .filter((path) => path !== 'lib/client/global.ts' && !path.startsWith('lib/cli/'))
      .map((path) => path.replace(/^lib(.*)\.ts$/, 'dist$1.d.ts'))
      .flatMap((path) => [path, `${path}.map`]);
    const expected = [
      'CHANGELOG.md',
      'LICENSE',
      'PROTOCOL.md',
      'README.md',
      'SECURITY.md',
      'package.json',
      'dist/cli/index.js',
      'dist/client.d.ts',
      'dist/client.js',
      ...entries,
      ...declarations,
      ...sources,
      ...(await filesIn('docs')),
    ];
    expect(tarball.files.map(({ path }) => path).sort()).toEqual(expected.sort());
  });

  test('contains every source that its maps refer to', async () => {
    const paths = new Set(tarball.files.map(({ path }) => path));
    const maps = [...paths].filter((path) => path.endsWith('.map'));
    expect(maps.length).toBeGreaterThan(0);
    for (const map of maps) {
      const path = join(projectOf(5, 'JS'), 'node_modules/sse-duplex', map);
      const { sources } = JSON.parse(await readFile(path, 'utf8')) as { sources: string[] };
      const resolved = sources.map((source) => posix.join(posix.dirname(map), source));
      expect(resolved.filter((source) => !paths.has(source))).toEqual([]);
    }
  });

  test('passes publint without a suggestion', async () => {
    const args = [join(ROOT, 'node_modules/publint/src/cli.js'), join(place, tarball.filename)];
    const { code, stdout } = await run(process.execPath, args, place, RUN_TIME);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\nAll good!\s*$/);
  });
});

describe('a project that installs the tarball', () => {
  const FOLDERS = ENTRY_FILES.map((entry) => entry.replace(/\/?index$/, ''));
  const ENTRIES = [...FOLDERS, 'client.js'].map((entry) =>
    entry === '' ? 'sse-duplex' : `sse-duplex/${entry}`,
  );

  test('gets CommonJS from require()', async () => {
    const script = `${JSON.stringify(ENTRIES)}.map((entry) => require.resolve(entry))`;
    const { stdout } = await run(nodeOf(20), ['-p', script], projectOf(5, 'JS'), RUN_TIME);
    const found = [...stdout.matchAll(/sse-duplex\/(dist.*)'/g)].map(([, path]) => path);
    expect(found).toEqual([...ENTRY_FILES.map((entry) => `dist/${entry}.js`), 'dist/client.js']);
  });

  test('gets ES modules from import', async () => {
    const script = `console.log(${JSON.stringify(ENTRIES)}.map((entry) => import.meta.resolve(entry)))`;
    const args = ['--input-type=module', '--eval', script];
    const { stdout } = await run(nodeOf(20), args, projectOf(5, 'JS'), RUN_TIME);
    const found = [...stdout.matchAll(/sse-duplex\/(dist.*)'/g)].map(([, path]) => path);
    expect(found).toEqual([...ENTRY_FILES.map((entry) => `dist/${entry}.mjs`), 'dist/client.js']);
  });

  test.each(
    EXPRESSES.flatMap((express) => COMPILERS.map((compiler) => ({ express, ...compiler }))),
  )(
    'compiles strictly with TypeScript $typescript, module $module, Express $express',
    ({ express, typescript }) => {
      const compilation = compilations.get(`${express} ${typescript}`);
      expect(compilation).toEqual({ code: 0, stdout: '', stderr: '' });
    },
  );

  test.each(
    EXPRESSES.flatMap((express) => COMPILERS.map((compiler) => ({ express, ...compiler }))),
  )(
    'has the types of the client without the DOM, with TypeScript $typescript, Express $express',
    ({ express, typescript }) => {
      const compilation = compilations.get(`${express} ${typescript} without the DOM`);
      expect(compilation).toEqual({ code: 0, stdout: '', stderr: '' });
    },
  );

  test.each([
    [
      'DartSseClient',
      'require()',
      ['--eval', "console.log(typeof require('sse-duplex/dart').DartSseClient)"],
    ],
    [
      'DartSseClient',
      'import',
      [
        '--input-type=module',
        '--eval',
        "import { DartSseClient } from 'sse-duplex/dart'; console.log(typeof DartSseClient);",
      ],
    ],
    [
      'redisCluster',
      'require()',
      ['--eval', "console.log(typeof require('sse-duplex/redis').redisCluster)"],
    ],
    [
      'redisCluster',
      'import',
      [
        '--input-type=module',
        '--eval',
        "import { redisCluster } from 'sse-duplex/redis'; console.log(typeof redisCluster);",
      ],
    ],
  ])('gets %s from %s', async (_name, _from, args) => {
    const { stdout } = await run(nodeOf(20), args, projectOf(5, 'JS'), RUN_TIME);
    expect(stdout.trim()).toBe('function');
  });

  test.each(EXPRESSES)('has Express %i installed', async (express) => {
    for (const language of LANGUAGES) {
      const path = join(projectOf(express, language), 'node_modules/express/package.json');
      const { version } = JSON.parse(await readFile(path, 'utf8')) as { version: string };
      expect(version.split('.')[0]).toBe(String(express));
    }
  });

  test.each(CELLS)(
    'exchanges messages and exits: Node $node, Express $express, $language $format',
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

describe('a project that installs the package from git', () => {
  test.each(['require.cjs', 'import.mjs'])('exchanges messages and exits: %s', async (program) => {
    const ran = await run(nodeOf(20), [program], join(place, 'from-git'), RUN_TIME);
    const [output = ''] = ran.stdout.split('.');
    expect({ ...ran, stdout: output }).toEqual({ code: 0, stdout: 'done on Node 20', stderr: '' });
  });
});

test('a bundler keeps the drop-in script that is imported for its global', () => {
  const { outputFiles } = buildSync({
    stdin: { contents: "import 'sse-duplex/client.js';", resolveDir: projectOf(5, 'JS') },
    bundle: true,
    write: false,
  });
  expect(outputFiles[0]!.text).toContain('SseClient');
});

test('the command of an installed tarball prints its version', async () => {
  const command = join(projectOf(5, 'JS'), 'node_modules/.bin/sse-duplex');
  const { code, stdout } = await run(command, ['--version'], place, RUN_TIME);
  expect([code, stdout]).toEqual([0, `${version}\n`]);
});

test('the command ends quietly when the program that reads its output has ended', async () => {
  const command = join(projectOf(5, 'JS'), 'node_modules/.bin/sse-duplex');
  const child = spawn(command, ['--help'], { env: plainEnvironment() });
  child.stdout.destroy();
  let printed = '';
  child.stderr.on('data', (chunk: Buffer) => (printed += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number];
  expect([code, printed]).toEqual([0, '']);
});

describe('the quick start of the README', () => {
  const started: ChildProcess[] = [];
  afterEach(() => started.forEach((program) => program.kill()));

  /** Starts a program that does not exit. Returns a function that waits for a pattern in its output. */
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
    'works without changes: the server, the page, and the client in Node',
    async () => {
      const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
      const cwd = projectOf(5, 'JS');
      await writeFile(join(cwd, 'server.mjs'), readBlock(readme, 'server.mjs'));
      await writeFile(join(cwd, 'index.html'), readBlock(readme, 'index.html'));
      const server = start('--require', './any-port.cjs', 'server.mjs');
      const [, port] = await server(/^port (\d+)$/m);

      const url = `http://127.0.0.1:${port}/`;
      const page = start('page.mjs', url);
      await page(/^Welcome! Clients connected: 1$/m);
      await page(/^Hello from the page$/m);
      await server(/^received: Hello from the page$/m);

      const program = readBlock(readme, 'client.mjs');
      const address = 'http://localhost:3000/';
      expect(program).toContain(address);
      await writeFile(join(cwd, 'client.mjs'), program.replace(address, url));
      const client = start('client.mjs');
      await client(/^Welcome! Clients connected: 2$/m);
      await client(/^Hello from Node$/m);
      await server(/^received: Hello from Node$/m);
      await page(/^Hello from Node$/m);
    },
    4 * RUN_TIME,
  );
});
