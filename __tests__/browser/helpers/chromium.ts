import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { afterThisTest } from '../../helpers/cleanup';

const CHROMIUM = '/usr/bin/chromium';
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** @param backForwardCache as Chromium's users have it; Playwright turns it off of itself. */
export function launchChromium({ backForwardCache = false } = {}): Promise<Browser> {
  if (!existsSync(CHROMIUM)) {
    throw new Error(`these tests need ${CHROMIUM}: apt-get install chromium`);
  }
  return chromium.launch({
    executablePath: CHROMIUM,
    args: FLAGS,
    ignoreDefaultArgs: backForwardCache ? ['--disable-back-forward-cache'] : [],
  });
}

const pageErrors: Error[] = [];

// What is thrown on a page, and caught by nobody there, fails the test.
afterEach(() => {
  expect(pageErrors.splice(0)).toEqual([]);
});

/** Opens a page in a context of its own, for this test. */
export async function openPage(browser: Browser, url: string): Promise<Page> {
  const context = await browser.newContext();
  afterThisTest(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(100_000);
  page.on('pageerror', (error) => pageErrors.push(error));
  await page.goto(url);
  return page;
}
