import { EventEmitter, once } from 'node:events';
import { existsSync } from 'node:fs';

const PROGRAM = '/usr/bin/chromium';
/** Without a sandbox, for root; and nothing that goes out. */
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // A page that no server gave is not let to those of this machine, unless they pass for public ones.
  '--ip-address-space-overrides=127.0.0.1:0=public',
];

/**
 * Opens a page in a Chromium of its own, that Playwright starts and then knows nothing of: what it
 * watches it is told of each request and frame of a WebSocket, and that would be measured.
 *
 * @param html is what the page has, whatever its server would say.
 */
export async function openPage(url, html) {
  if (!existsSync(PROGRAM)) throw new Error(`needs ${PROGRAM}: apt-get install chromium`);
  const { chromium } = await import('playwright-core');
  const browser = await chromium.launch({ executablePath: PROGRAM, args: FLAGS });
  const session = await browser.newBrowserCDPSession();
  const { browserContextId } = await session.send('Target.createBrowserContext');
  const target = { url: 'about:blank', browserContextId };
  const { targetId } = await session.send('Target.createTarget', target);
  const { sessionId } = await session.send('Target.attachToTarget', { targetId });
  let calledLast = 0;
  /** What the page says: answers by the call's number, events by their name. */
  const said = new EventEmitter();
  session.on('Target.receivedMessageFromTarget', ({ message }) => {
    const { id, method, ...rest } = JSON.parse(message);
    said.emit(method ?? `${id}`, rest);
  });

  /** A command of the DevTools protocol. */
  async function command(method, params = {}) {
    const id = ++calledLast;
    const answered = once(said, `${id}`);
    const message = JSON.stringify({ id, method, params });
    await session.send('Target.sendMessageToTarget', { sessionId, message });
    const [{ error, result }] = await answered;
    if (error) throw new Error(`${error.message}: ${method}`);
    return result;
  }

  async function load() {
    await command('Page.enable');
    await command('Fetch.enable', { patterns: [{ urlPattern: url }] });
    const loaded = once(said, 'Page.loadEventFired');
    await Promise.all([command('Page.navigate', { url }), answer(), loaded]);
    await command('Fetch.disable');
    await command('Page.disable');
  }

  /** In place of the server. */
  async function answer() {
    const [{ params }] = await once(said, 'Fetch.requestPaused');
    await command('Fetch.fulfillRequest', {
      requestId: params.requestId,
      responseCode: 200,
      responseHeaders: [{ name: 'Content-Type', value: 'text/html' }],
      body: Buffer.from(html).toString('base64'),
    });
  }

  try {
    await load();
  } catch (error) {
    await browser.close();
    throw error;
  }
  return {
    command,

    /** The value of an expression, of its promise if it is one. */
    async evaluate(expression) {
      const params = { expression, awaitPromise: true, returnByValue: true };
      const { result, exceptionDetails } = await command('Runtime.evaluate', params);
      if (exceptionDetails) throw new Error(exceptionDetails.exception.description);
      return result.value;
    },

    close: () => browser.close(),
  };
}
