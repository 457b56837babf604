import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { launchChromium } from './helpers/chromium';

interface Stroke {
  by: string;
  points: number[];
}

interface ChatLine {
  by: string;
  name: string;
  text?: string;
  note?: string;
}

declare global {
  interface Window {
    /** The object that the example app exposes in the console. */
    board: {
      log: { strokes: Stroke[]; chat: ChatLine[] };
      fingerprint: string;
      waiting: number;
      audit: { lost: number; twice: number };
    };
  }
}

const TIMEOUT = 30_000;
const NO_ERRORS = { lost: 0, twice: 0, waiting: 0 };

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

// Each stroke has its own place on the board, so that its index can be read from its coordinates.
const BOARD_WIDTH = 1600;
const COLUMNS = 20;
const COLUMN = 76;
const ROW = 78;
const MARGIN = 40;

function toPlace(index: number): [x: number, y: number] {
  return [MARGIN + (index % COLUMNS) * COLUMN, MARGIN + Math.floor(index / COLUMNS) * ROW];
}

function toIndex({ points: [x = NaN, y = NaN] }: Stroke): number {
  return Math.round((y - MARGIN) / ROW) * COLUMNS + Math.round((x - MARGIN) / COLUMN);
}

let server: ChildProcess;
let url: string;
let browser: Browser;
let pageErrors: Error[] = [];

beforeAll(async () => {
  browser = await launchChromium();
}, TIMEOUT);

afterAll(() => (browser as Browser | undefined)?.close());

// Each test starts its own server, with an empty board.
beforeEach(async () => {
  server = spawn(process.execPath, ['example-app/server.mjs'], {
    cwd: resolve(__dirname, '../..'),
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  url = await new Promise((found, failed) => {
    let output = '';
    server.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const match = /http:\/\/\S+/.exec(output);
      if (match) found(match[0]);
    });
    server.once('error', failed);
    server.once('exit', (code) => failed(new Error(`The example app ended with ${code}`)));
  });
}, TIMEOUT);

afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  await stopServer();
  const errors = pageErrors;
  pageErrors = [];
  expect(errors).toEqual([]);
}, TIMEOUT);

function stopServer(): Promise<number | null> {
  if (server.exitCode !== null) return Promise.resolve(server.exitCode);
  return new Promise((ended) => {
    server.once('exit', ended);
    server.kill('SIGTERM');
  });
}

async function openPage(name: string, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(TIMEOUT);
  const page = await context.newPage();
  page.on('pageerror', (error) => pageErrors.push(error));
  await page.addInitScript(
    (own) => localStorage.setItem('sketch-board:name', JSON.stringify(own)),
    name,
  );
  await page.goto(url);
  await page.waitForFunction(
    (own) => document.querySelector('#people li')?.textContent === `${own}you`,
    name,
  );
  return page;
}

/** Draws a stroke with the mouse. */
async function drawStroke(page: Page, index: number): Promise<void> {
  const box = await page.locator('#sheet').boundingBox();
  if (!box) throw new Error('There is no sheet to draw on');
  const scale = box.width / BOARD_WIDTH;
  const [x, y] = toPlace(index).map((coordinate) => coordinate * scale) as [number, number];
  await page.mouse.move(box.x + x, box.y + y);
  await page.mouse.down();
  await page.mouse.move(box.x + x + 16, box.y + y + 22, { steps: 2 });
  await page.mouse.up();
}

/** Draws strokes with pointer events. Each takes two frames, so that it is sent in pieces. */
async function drawStrokes(page: Page, indices: number[]): Promise<void> {
  const draw = async ([places, boardWidth]: readonly [[number, number][], number]) => {
    const sheet = document.querySelector('#sheet')!;
    const { left, top, width } = sheet.getBoundingClientRect();
    const scale = width / boardWidth;
    for (const [x, y] of places) {
      const move = (type: string, by: number) =>
        sheet.dispatchEvent(
          new PointerEvent(type, {
            pointerId: 1,
            isPrimary: true,
            clientX: left + (x + by) * scale,
            clientY: top + (y + by) * scale,
          }),
        );
      move('pointerdown', 0);
      move('pointermove', 12);
      await new Promise(requestAnimationFrame);
      move('pointermove', 24);
      move('pointerup', 36);
    }
  };
  await page.evaluate(draw, [indices.map(toPlace), BOARD_WIDTH] as const);
}

async function say(page: Page, text: string): Promise<void> {
  await page.locator('#say').fill(text);
  await page.locator('#say').press('Enter');
}

/** Draws the strokes and sends a chat line after every fourth. */
async function drawAndTalk(page: Page, name: string, strokes: number[]): Promise<void> {
  for (let i = 0; i < strokes.length; i += 4) {
    await drawStrokes(page, strokes.slice(i, i + 4));
    await say(page, `${name} ${strokes[i]}`);
  }
}

/** Waits until the pages have everything. After the timeout the assertions show what is missing. */
async function settle(pages: Page[], strokes: number, lines: number): Promise<void> {
  const hasAll = ([wantedStrokes, wantedLines]: readonly [number, number]) => {
    const { log, waiting } = window.board;
    return waiting === 0 && log.strokes.length >= wantedStrokes && log.chat.length >= wantedLines;
  };
  await Promise.all(
    pages.map((page) => page.waitForFunction(hasAll, [strokes, lines] as const).catch(() => {})),
  );
}

/** Returns the hashes of the page's canvases after the next frame. */
async function paint(page: Page): Promise<string[]> {
  const images = await page.evaluate(
    () =>
      new Promise<string[]>((painted) => {
        const canvases = [...document.querySelectorAll('canvas')];
        const read = () => painted(canvases.map((canvas) => canvas.toDataURL()));
        requestAnimationFrame(() => requestAnimationFrame(read));
      }),
  );
  return images.map((image) => createHash('sha256').update(image).digest('hex'));
}

const readLog = (page: Page) => page.evaluate(() => window.board.log);
const readAudit = (page: Page) =>
  page.evaluate(() => ({ ...window.board.audit, waiting: window.board.waiting }));
const readFingerprint = (page: Page) => page.evaluate(() => window.board.fingerprint);
const waitForLine = (page: Page, state: string) =>
  page.waitForFunction((wanted) => document.body.dataset.line === wanted, state);

/** Returns what one person drew and wrote, in the order of the log. */
function partOf(name: string, { strokes, chat }: { strokes: Stroke[]; chat: ChatLine[] }) {
  const lines = chat.filter((line) => line.name === name);
  const ids = new Set(lines.map(({ by }) => by));
  return {
    people: ids.size,
    strokes: strokes.filter(({ by }) => ids.has(by)).map(toIndex),
    chat: lines.map(({ text }) => text),
  };
}

const linesOf = (name: string, strokes: number[]) =>
  strokes.filter((_, i) => i % 4 === 0).map((index) => `${name} ${index}`);

test('The example app keeps two boards equal while both draw and chat, and through a cut', async () => {
  const [ada, ben] = await Promise.all([openPage('Ada'), openPage('Ben')]);

  await Promise.all([
    drawAndTalk(ada, 'Ada', range(0, 200)),
    drawAndTalk(ben, 'Ben', range(0, 200)),
  ]);
  await settle([ada, ben], 400, 100);

  const before = await readLog(ada);
  for (const name of ['Ada', 'Ben']) {
    const strokes = range(0, 200);
    expect(partOf(name, before)).toEqual({ people: 1, strokes, chat: linesOf(name, strokes) });
  }
  expect(before.strokes).toHaveLength(400);
  expect(before.chat).toHaveLength(100);
  expect(await readLog(ben)).toEqual(before);
  expect(await paint(ben)).toEqual(await paint(ada));

  await ada.locator('#cut').click();
  await waitForLine(ada, 'cut');
  await drawStroke(ada, 200);
  const during = await ada.evaluate(() => ({
    line: document.body.dataset.line,
    waiting: window.board.waiting,
    strokes: window.board.log.strokes.length,
  }));
  expect(during).toMatchObject({ line: 'cut', strokes: 400 });
  expect(during.waiting).toBeGreaterThan(0);
  await Promise.all([
    drawAndTalk(ada, 'Ada', range(201, 221)),
    drawAndTalk(ben, 'Ben', range(200, 220)),
  ]);

  await waitForLine(ada, 'back');
  await settle([ada, ben], 441, 110);

  const after = await readLog(ada);
  expect(partOf('Ada', after)).toEqual({
    people: 1,
    strokes: range(0, 221),
    chat: [...linesOf('Ada', range(0, 200)), ...linesOf('Ada', range(201, 221))],
  });
  expect(partOf('Ben', after)).toEqual({
    people: 1,
    strokes: range(0, 220),
    chat: linesOf('Ben', range(0, 220)),
  });
  expect(after.strokes).toHaveLength(441);
  expect(after.chat).toHaveLength(110);
  expect(await readLog(ben)).toEqual(after);
  expect(await paint(ben)).toEqual(await paint(ada));
  expect(await readAudit(ada)).toEqual(NO_ERRORS);
  expect(await readAudit(ben)).toEqual(NO_ERRORS);

  const late = await openPage('Cleo');
  expect(await readFingerprint(late)).toBe(await readFingerprint(ada));
  expect(await paint(late)).toEqual(await paint(ada));
}, 120_000);

test('The example app clears the board for everybody', async () => {
  const [ada, ben] = await Promise.all([openPage('Ada'), openPage('Ben')]);
  await drawStroke(ada, 0);
  await settle([ada, ben], 1, 0);
  expect((await readLog(ben)).strokes.map(toIndex)).toEqual([0]);

  await ben.locator('#clear').click();
  expect((await readLog(ben)).strokes).toHaveLength(1); // the first click asks for confirmation
  await ben.locator('#clear').click();
  await settle([ada, ben], 0, 1);

  expect(await readLog(ada)).toEqual({
    strokes: [],
    chat: [expect.objectContaining({ name: 'Ben', note: 'cleared the board' })],
  });
  await ada.locator('.sheet .empty').waitFor({ state: 'visible' });
}, 60_000);

test('The example app shows names and messages as text, not as markup', async () => {
  const markup = '<img src=x onerror=alert(1)>';
  const [ada, ben] = await Promise.all([openPage('<b>Ada</b>'), openPage('Ben')]);
  await say(ada, markup);
  await settle([ada, ben], 0, 1);

  expect(await ben.locator('#lines li > span').allTextContents()).toEqual([markup]);
  expect(await ben.locator('#people li').allTextContents()).toContain('<b>Ada</b>');
  expect(await ben.locator('#people b, #lines img').count()).toBe(0);
}, 60_000);

test('The example app fits a phone, and its chat works with the keyboard only', async () => {
  const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
  const [ada, ben] = await Promise.all([openPage('Ada', phone), openPage('Ben')]);
  const measure = () =>
    ada.evaluate(() => ({
      width: document.documentElement.scrollWidth,
      visible: window.visualViewport?.width,
    }));
  expect(await measure()).toEqual({ width: 360, visible: 360 });

  await ada.locator('#sheet').tap({ position: { x: 90, y: 60 } });
  await settle([ada, ben], 1, 0);
  expect((await readLog(ben)).strokes).toHaveLength(1);

  await ada.locator('#sheet').blur();
  await ada.keyboard.press('Tab');
  for (let tabs = 0; tabs < 30; tabs++) {
    if (await ada.locator('[data-show=chat]:focus').count()) break;
    await ada.keyboard.press('Tab');
  }
  await ada.keyboard.press('Enter');
  await ada.locator('#say').waitFor({ state: 'visible' });
  for (let tabs = 0; tabs < 30; tabs++) {
    if (await ada.locator('#say:focus').count()) break;
    await ada.keyboard.press('Tab');
  }
  await ada.keyboard.type('Hello from the keys');
  await ada.keyboard.press('Enter');
  await settle([ada, ben], 1, 1);

  expect((await readLog(ben)).chat.map(({ text }) => text)).toEqual(['Hello from the keys']);
  await ada.getByRole('log').getByText('Hello from the keys').waitFor({ state: 'visible' });
  expect(await measure()).toEqual({ width: 360, visible: 360 });
}, 60_000);

test('The example app exits with 0 on SIGTERM while pages are connected', async () => {
  await Promise.all([openPage('Ada'), openPage('Ben')]);
  expect(await stopServer()).toBe(0);
}, 60_000);
