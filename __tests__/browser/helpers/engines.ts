import puppeteer from 'puppeteer-core';
import type { LaunchOptions } from 'puppeteer-core';
import { requireProgram, startProgram } from '../../helpers/programs';
import { CHROMIUM_FLAGS, requireChromium } from './chromium-program';

/** The interface to a browser that these tests need. */
export interface Engine {
  /** Opens a page. It has to be closed before the next one. */
  openPage(): Promise<EnginePage>;
  close(): Promise<void>;
}

export interface EnginePage {
  /** Resolves when the page is loaded, as `reload` does. */
  goto(url: string): Promise<unknown>;
  reload(): Promise<unknown>;
  /** Runs a function in the page. It is sent as text, its arguments and its result as JSON. */
  evaluate<Values extends unknown[], T>(
    inPage: InPage<Values, T>,
    ...values: Values
  ): Promise<Awaited<T>>;
  close(): Promise<void>;
}

type InPage<Values extends unknown[], T> = (...values: Values) => T | Promise<T>;

export function launchChromium(options: LaunchOptions = {}): Promise<Engine> {
  return launchByPuppeteer({
    browser: 'chrome',
    executablePath: requireChromium(),
    ...options,
    args: [...CHROMIUM_FLAGS, ...(options.args ?? [])],
  });
}

export function launchFirefox(): Promise<Engine> {
  return launchByPuppeteer({
    browser: 'firefox',
    executablePath: requireProgram('/usr/bin/firefox-esr', 'firefox-esr'),
  });
}

async function launchByPuppeteer(options: LaunchOptions): Promise<Engine> {
  const browser = await puppeteer.launch(options);
  return {
    async openPage() {
      const context = await browser.createBrowserContext();
      const page = await context.newPage();
      return {
        goto: (url) => page.goto(url),
        reload: () => page.reload(),
        evaluate: (inPage, ...values) => page.evaluate(inPage as never, ...values),
        close: () => context.close(),
      };
    },
    close: () => browser.close(),
  };
}

const MINI_BROWSER = '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser';

/** Starts WebKitGTK on a virtual display, since it has no headless mode. */
export async function launchWebKit(): Promise<Engine> {
  requireProgram(MINI_BROWSER, 'webkit2gtk-driver');
  const path = requireProgram('/usr/bin/WebKitWebDriver', 'webkit2gtk-driver');
  const display = await startProgram(requireProgram('/usr/bin/Xvfb', 'xvfb'), (port) => [
    toDisplay(port),
    '-listen',
    'tcp',
  ]);
  const driver = await startProgram(
    path,
    (port) => [`--port=${port}`],
    () => ({ DISPLAY: toDisplay(display.port) }),
  );

  /** Sends a WebDriver command [W3C]. */
  async function command<T>(method: string, path: string, body?: object): Promise<T> {
    const response = await fetch(`http://127.0.0.1:${driver.port}/session${path}`, {
      method,
      body: body && JSON.stringify(body),
    });
    const { value } = (await response.json()) as { value: T & { message?: string } };
    if (!response.ok) throw new Error(`${value.message}: ${method} ${path}`);
    return value;
  }

  return {
    async openPage() {
      const { sessionId } = await command<{ sessionId: string }>('POST', '', {
        capabilities: {
          alwaysMatch: {
            'webkitgtk:browserOptions': { binary: MINI_BROWSER, args: ['--automation'] },
            timeouts: { script: 100_000 },
          },
        },
      });
      return {
        goto: (url) => command('POST', `/${sessionId}/url`, { url }),
        reload: () => command('POST', `/${sessionId}/refresh`, {}),
        evaluate: (inPage, ...values) =>
          command('POST', `/${sessionId}/execute/sync`, {
            script: `return (${inPage.toString()})(...arguments)`,
            args: values,
          }),
        close: () => command('DELETE', `/${sessionId}`),
      };
    },
    async close() {
      await driver.stop();
      await display.stop();
    },
  };
}

/** Returns the name of the X11 display that listens on a port. */
const toDisplay = (port: number) => `:${port - 6_000}`;
