import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { QUICKLY, npm, pack, runToEnd } from './run';

const ROOT = resolve(__dirname, '../..');
const LIBRARIES = join(__dirname, 'libraries');
const PROGRAMS = readdirSync(join(LIBRARIES, 'programs')).map((file) => basename(file, '.mjs'));
const MODES = ['calm', 'cut'] as const;
/** How many programs run at a time. Those that are cut mostly wait. */
const CONCURRENCY = 3;

interface Report {
  /** How many requests of the library were answered, and how many in the wrong way. */
  result: { count: number; faults: number };
  /** How often all TCP connections were cut. */
  cuts: number;
  /** The `error` and `close` events that the library has seen. */
  ends: string[];
  /** Number of sessions, and of reconnections. */
  opened: number;
  resumed: number;
}

let project: string;
const reports = new Map<string, Report | Error>();

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'sse-duplex-libraries-'));
  const filter = (path: string) => !path.includes('node_modules');
  await cp(LIBRARIES, project, { recursive: true, filter });
  await npm(project, 'ci', '--ignore-scripts', ...QUICKLY);
  const tarball = await pack(ROOT, project);
  await npm(project, 'install', '--no-save', '--ignore-scripts', ...QUICKLY, tarball);
  const runs = PROGRAMS.flatMap((program) => MODES.map((mode) => ({ program, mode })));
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      for (let next; (next = runs.shift());) {
        const { program, mode } = next;
        const args = [`programs/${program}.mjs`, mode];
        const report = runToEnd(process.execPath, args, project, 60_000).then(
          (printed) => JSON.parse(printed.trim().split('\n').at(-1)!) as Report,
          (error: unknown) => error as Error,
        );
        reports.set(`${program} ${mode}`, await report);
      }
    }),
  );
}, 400_000);

afterAll(() => rm(project, { recursive: true, force: true }));

function reportOf(program: string, mode: string): Report {
  const report = reports.get(`${program} ${mode}`);
  if (!report || report instanceof Error) throw report ?? new Error('the program was not run');
  return report;
}

describe.each(PROGRAMS)('The program %s, which uses a library written for WebSocket', (program) => {
  test('runs unmodified over the channel', () => {
    const report = reportOf(program, 'calm');
    expect(report).toMatchObject({ result: { faults: 0 }, ends: [], resumed: 0 });
    expect(report.result.count).toBeGreaterThanOrEqual(20);
  });

  test('receives no error and no close when every TCP connection is cut 20 times', () => {
    const report = reportOf(program, 'cut');
    expect(report).toMatchObject({ result: { faults: 0 }, ends: [] });
    expect(report.cuts).toBeGreaterThanOrEqual(20);
    expect(report.resumed).toBeGreaterThanOrEqual(15);
    expect(report.result.count).toBeGreaterThan(0);
  });

  test('contains the code of docs/websocket-libraries.md, which is at most ten lines', async () => {
    const docs = await readFile(join(ROOT, 'docs/websocket-libraries.md'), 'utf8');
    const code = await readFile(join(LIBRARIES, `programs/${program}.mjs`), 'utf8');
    const [section] = docs.split(/^## /m).filter((each) => each.includes(`\`${program}.mjs\``));
    const blocks = [...(section ?? '').matchAll(/```js\n([^]*?)\n```/g)].map(([, block]) => block!);
    const lines = blocks.flatMap((block) => block.split('\n')).map((line) => line.trim());
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.length).toBeLessThanOrEqual(10);
    expect(lines.filter((line) => !code.includes(line))).toEqual([]);
  });
});
