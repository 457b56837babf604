import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { onTestFinished } from '../../helpers/on-test-finished';
import { CHROMIUM_FLAGS, requireChromium } from './chromium-program';

/** @param backForwardCache as Chromium's users have it; Playwright turns it off of itself. */
export async function launchChromium({ backForwardCache = false } = {}): Promise<Browser> {
  return chromium.launch({
    executablePath: requireChromium(),
    args: ['--headless', ...CHROMIUM_FLAGS],
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
  onTestFinished(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(100_000);
  page.on('pageerror', (error) => pageErrors.push(error));
  await page.goto(url);
  return page;
}

/** A page that runs on its own. */
export interface UnwatchedPage {
  /** The value of an expression, of its promise if it is one. */
  evaluate(expression: string): Promise<unknown>;
}

/** An answer of the page to a command of the DevTools protocol. */
interface Answer {
  id?: number;
  error?: { message: string };
  result?: { result?: { value?: unknown }; exceptionDetails?: { text: string } };
}

/**
 * Opens a page that Playwright knows nothing of. Of its own it follows each request, which takes as
 * much of the machine as the request does: with thousands of them that is what a test would measure.
 */
export async function openUnwatchedPage(browser: Browser, url: string): Promise<UnwatchedPage> {
  const session = await browser.newBrowserCDPSession();
  const { browserContextId } = await session.send('Target.createBrowserContext');
  onTestFinished(() => session.send('Target.disposeBrowserContext', { browserContextId }));
  const { targetId } = await session.send('Target.createTarget', {
    url: 'about:blank',
    browserContextId,
  });
  const { sessionId } = await session.send('Target.attachToTarget', { targetId });
  let lastId = 0;

  function command(method: string, params: object): Promise<Answer['result']> {
    const id = ++lastId;
    return new Promise((resolve, reject) => {
      const take = ({ message }: { message: string }) => {
        const { id: answered, result, error } = JSON.parse(message) as Answer;
        if (answered !== id) return;
        session.off('Target.receivedMessageFromTarget', take);
        const fault = error?.message ?? result?.exceptionDetails?.text;
        if (fault === undefined) resolve(result);
        else reject(new Error(`${fault}: ${method} ${JSON.stringify(params)}`));
      };
      session.on('Target.receivedMessageFromTarget', take);
      const message = JSON.stringify({ id, method, params });
      session.send('Target.sendMessageToTarget', { sessionId, message }).catch(reject);
    });
  }

  await command('Page.navigate', { url });
  return {
    async evaluate(expression) {
      const params = { expression, awaitPromise: true, returnByValue: true };
      return (await command('Runtime.evaluate', params))?.result?.value;
    },
  };
}
