import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { onTestFinished } from '../../helpers/on-test-finished';
import { CHROMIUM_FLAGS, requireChromium } from './chromium-program';

/**
 * @param backForwardCache enables the back/forward cache, which Playwright disables by default.
 * @param ignoresCertificates accepts the certificate of the tests, also on pages that Playwright does not watch.
 */
export async function launchChromium({
  backForwardCache = false,
  ignoresCertificates = false,
} = {}): Promise<Browser> {
  return chromium.launch({
    executablePath: requireChromium(),
    args: [
      '--headless',
      ...CHROMIUM_FLAGS,
      ...(ignoresCertificates ? ['--ignore-certificate-errors'] : []),
    ],
    ignoreDefaultArgs: backForwardCache ? ['--disable-back-forward-cache'] : [],
  });
}

const pageErrors: Error[] = [];

// An uncaught error on a page fails the test.
afterEach(() => {
  expect(pageErrors.splice(0)).toEqual([]);
});

/** Opens a page in a new context, which is closed when the test is finished. */
export async function openPage(browser: Browser, url: string): Promise<Page> {
  const context = await browser.newContext();
  onTestFinished(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(100_000);
  page.on('pageerror', (error) => pageErrors.push(error));
  await page.goto(url);
  return page;
}

/** A page that Playwright does not watch. */
export interface UnwatchedPage {
  /** Evaluates an expression and awaits its value. */
  evaluate(expression: string): Promise<unknown>;
}

/** The response to a command of the DevTools protocol. */
interface CommandResponse {
  id?: number;
  error?: { message: string };
  result?: { result?: { value?: unknown }; exceptionDetails?: { text: string } };
}

/**
 * Opens a page that Playwright does not watch. Playwright follows each request of a page, which makes tests
 * with thousands of requests slow.
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

  function command(method: string, params: object): Promise<CommandResponse['result']> {
    const id = ++lastId;
    return new Promise((resolve, reject) => {
      const onMessage = ({ message }: { message: string }) => {
        const { id: respondedId, result, error } = JSON.parse(message) as CommandResponse;
        if (respondedId !== id) return;
        session.off('Target.receivedMessageFromTarget', onMessage);
        const failure = error?.message ?? result?.exceptionDetails?.text;
        if (failure === undefined) resolve(result);
        else reject(new Error(`${failure}: ${method} ${JSON.stringify(params)}`));
      };
      session.on('Target.receivedMessageFromTarget', onMessage);
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
