import { EventEmitter, once } from 'node:events';
import { existsSync } from 'node:fs';

const PROGRAM = '/usr/bin/chromium';
/** The sandbox does not work for root. The other flags keep Chromium from requests of its own. */
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Chromium keeps pages that did not come from a server away from loopback addresses, unless they
  // count as public ones.
  '--ip-address-space-overrides=127.0.0.1:0=public',
];

/**
 * Opens a page in a Chromium of its own. Playwright starts it, but does not attach to the page: it would
 * receive an event for each request and each WebSocket frame, which would distort the measurement.
 *
 * @param html is the document of the page; the server is not asked for it.
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
  /** Emits the responses of the page by the id of the command, and its events by their name. */
  const incoming = new EventEmitter();
  session.on('Target.receivedMessageFromTarget', ({ message }) => {
    const { id, method, ...rest } = JSON.parse(message);
    incoming.emit(method ?? `${id}`, rest);
  });

  /** Sends a command of the DevTools protocol and returns its result. */
  async function command(method, params = {}) {
    const id = ++calledLast;
    const response = once(incoming, `${id}`);
    const message = JSON.stringify({ id, method, params });
    await session.send('Target.sendMessageToTarget', { sessionId, message });
    const [{ error, result }] = await response;
    if (error) throw new Error(`${error.message}: ${method}`);
    return result;
  }

  async function load() {
    await command('Page.enable');
    await command('Fetch.enable', { patterns: [{ urlPattern: url }] });
    const loaded = once(incoming, 'Page.loadEventFired');
    await Promise.all([command('Page.navigate', { url }), respond(), loaded]);
    await command('Fetch.disable');
    await command('Page.disable');
  }

  /** Responds to the request for the document, in place of the server. */
  async function respond() {
    const [{ params }] = await once(incoming, 'Fetch.requestPaused');
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

    /** Returns the value of an expression. If it is a promise, waits for it. */
    async evaluate(expression) {
      const params = { expression, awaitPromise: true, returnByValue: true };
      const { result, exceptionDetails } = await command('Runtime.evaluate', params);
      if (exceptionDetails) throw new Error(exceptionDetails.exception.description);
      return result.value;
    },

    close: () => browser.close(),
  };
}
