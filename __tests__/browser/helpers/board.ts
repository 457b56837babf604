import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { launchChromium } from './chromium';

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
export const NO_ERRORS = { lost: 0, twice: 0, waiting: 0 };

export const range = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => from + i);

// Each stroke has its own place on the board, so that its index can be read from its coordinates.
const BOARD_WIDTH = 1600;
const COLUMNS = 20;
const COLUMN = 76;
const ROW = 78;
const MARGIN = 40;

function toPlace(index: number): [x: number, y: number] {
  return [MARGIN + (index % COLUMNS) * COLUMN, MARGIN + Math.floor(index / COLUMNS) * ROW];
}

export function toIndex({ points: [x = NaN, y = NaN] }: Stroke): number {
  return Math.round((y - MARGIN) / ROW) * COLUMNS + Math.round((x - MARGIN) / COLUMN);
}

let server: ChildProcess;
let url: string;
let browser: Browser;
let pageErrors: Error[] = [];

/** Opens a browser for the tests of a file, and starts a program of the example app for each of them. */
export function useExampleApp(program: string): void {
  beforeAll(async () => {
    browser = await launchChromium();
  }, TIMEOUT);

  afterAll(() => (browser as Browser | undefined)?.close());

  // Each test starts its own server, with an empty board.
  beforeEach(() => startServer(program), TIMEOUT);

  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
    await stopServer();
    const errors = pageErrors;
    pageErrors = [];
    expect(errors).toEqual([]);
  }, TIMEOUT);
}

async function startServer(program: string): Promise<void> {
  server = spawn(process.execPath, [`example-app/${program}`], {
    cwd: resolve(__dirname, '../../..'),
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  url = await new Promise((found, failed) => {
    let output = '';
    server.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const match = /http:\/\/[^\s,]+/.exec(output);
      if (match) found(match[0]);
    });
    server.once('error', failed);
    server.once('exit', (code) => failed(new Error(`The example app ended with ${code}`)));
  });
}

export function stopServer(): Promise<number | null> {
  if (server.exitCode !== null) return Promise.resolve(server.exitCode);
  return new Promise((ended) => {
    server.once('exit', ended);
    server.kill('SIGTERM');
  });
}

export async function openPage(name: string, options: BrowserContextOptions = {}): Promise<Page> {
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
export async function drawStroke(page: Page, index: number): Promise<void> {
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

export async function say(page: Page, text: string): Promise<void> {
  await page.locator('#say').fill(text);
  await page.locator('#say').press('Enter');
}

/** Draws the strokes and sends a chat line after every fourth. */
export async function drawAndTalk(page: Page, name: string, strokes: number[]): Promise<void> {
  for (let i = 0; i < strokes.length; i += 4) {
    await drawStrokes(page, strokes.slice(i, i + 4));
    await say(page, `${name} ${strokes[i]}`);
  }
}

/** Waits until the pages have everything. After the timeout the assertions show what is missing. */
export async function settle(pages: Page[], strokes: number, lines: number): Promise<void> {
  const hasAll = ([wantedStrokes, wantedLines]: readonly [number, number]) => {
    const { log, waiting } = window.board;
    return waiting === 0 && log.strokes.length >= wantedStrokes && log.chat.length >= wantedLines;
  };
  await Promise.all(
    pages.map((page) => page.waitForFunction(hasAll, [strokes, lines] as const).catch(() => {})),
  );
}

/** Starts to record the chat lines that the page shows twice, however short the time. Returns a function that reads them. */
export async function recordDoubledLines(page: Page): Promise<() => Promise<string[]>> {
  const doubled = await page.evaluateHandle(() => {
    const texts: string[] = [];
    new MutationObserver(() => {
      const lines = [...document.querySelectorAll('#scroll li > span')].map((e) => e.textContent);
      texts.push(...lines.filter((text, i) => lines.indexOf(text) !== i));
    }).observe(document.querySelector('#scroll')!, { childList: true, subtree: true });
    return texts;
  });
  return () => doubled.jsonValue();
}

/** Returns the hashes of the page's canvases after the next frame. */
export async function paint(page: Page): Promise<string[]> {
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

export const readLog = (page: Page) => page.evaluate(() => window.board.log);
export const readAudit = (page: Page) =>
  page.evaluate(() => ({ ...window.board.audit, waiting: window.board.waiting }));
export const readFingerprint = (page: Page) => page.evaluate(() => window.board.fingerprint);
export const waitForLine = (page: Page, state: string) =>
  page.waitForFunction((wanted) => document.body.dataset.line === wanted, state);

/** Returns what one person drew and wrote, in the order of the log. */
export function partOf(name: string, { strokes, chat }: { strokes: Stroke[]; chat: ChatLine[] }) {
  const lines = chat.filter((line) => line.name === name);
  const ids = new Set(lines.map(({ by }) => by));
  return {
    people: ids.size,
    strokes: strokes.filter(({ by }) => ids.has(by)).map(toIndex),
    chat: lines.map(({ text }) => text),
  };
}

export const linesOf = (name: string, strokes: number[]) =>
  strokes.filter((_, i) => i % 4 === 0).map((index) => `${name} ${index}`);
