import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { Browser, Page } from 'playwright-core';
import type { SseClient as Client, SseClientOptions } from '../../lib/client';
import { launchChromium, openPage } from './helpers/chromium';
import { Host, addDropInPage, compose } from './helpers/host';

interface RecordedEvent {
  type: string;
  [field: string]: unknown;
}

declare global {
  interface Window {
    SseClient: typeof Client;
    client: Client;
    /** All events other than `message`. */
    recorded: RecordedEvent[];
    received: unknown[];
  }
}

jest.setTimeout(60_000);

let browser: Browser;

beforeAll(async () => {
  browser = await launchChromium();
});

afterAll(() => browser.close());

const HTML = '<!doctype html><title>page</title>';

function openHost(options: Parameters<typeof Host.open>[0] = {}): Promise<Host> {
  return Host.open({ pages: addDropInPage, ...options });
}

type Options = Pick<SseClientOptions, 'credentials' | 'headers'>;

/** Creates a client on a page that has the script. */
function createClient(page: Page, url: string, options: Options = {}): Promise<void> {
  return page.evaluate(
    ([address, rest]) => {
      const client = new window.SseClient(address, rest);
      window.client = client;
      window.recorded = [];
      window.received = [];
      client.onmessage = ({ data }) => window.received.push(data);
      const types = ['open', 'error', 'disconnect', 'reconnect', 'sessionlost', 'close'] as const;
      for (const type of types) {
        client.addEventListener(type, (event: Event) => {
          const { message, code, reason, wasClean, unacknowledged } = event as Event &
            Partial<RecordedEvent>;
          window.recorded.push({ type, message, code, reason, wasClean, unacknowledged });
        });
      }
    },
    [url, options] as const,
  );
}

/** Creates a client and waits for its `open` event. */
async function openClient(page: Page, url = '/sse', options?: Options): Promise<void> {
  await createClient(page, url, options);
  await waitForEvent(page, 'open');
}

function send(page: Page, messages: unknown[]): Promise<void> {
  return page.evaluate((all) => all.forEach((message) => window.client.send(message)), messages);
}

/** Waits for `count` messages and returns all received messages. */
async function receive(page: Page, count: number): Promise<unknown[]> {
  await page.waitForFunction((wanted) => window.received.length >= wanted, count, { polling: 20 });
  return page.evaluate(() => window.received);
}

/** Waits for the first event of a type. */
async function waitForEvent(page: Page, type: string): Promise<RecordedEvent> {
  const event = await page.waitForFunction(
    (wanted) => window.recorded.find(({ type }) => type === wanted),
    type,
    { polling: 20 },
  );
  return (await event.jsonValue()) as RecordedEvent;
}

const eventTypes = (page: Page) => page.evaluate(() => window.recorded.map(({ type }) => type));

/** Waits until the server has acknowledged all messages. */
async function settle(page: Page): Promise<void> {
  await page.waitForFunction(() => window.client.bufferedAmount === 0, null, { polling: 20 });
}

describe('The drop-in client in Chromium', () => {
  test('exchanges 1,000 messages in each direction at the same time', async () => {
    const host = await openHost();
    const page = await openPage(browser, `${host.origin}/drop-in`);
    await openClient(page);
    const { connection, messages } = await host.visit();

    const sending = send(page, compose('up', 1_000));
    for (const message of compose('down', 1_000)) connection.send(message);
    await sending;
    await settle(page);
    connection.send('the end');

    expect(await receive(page, 1_001)).toEqual([...compose('down', 1_000), 'the end']);
    expect(messages).toEqual(compose('up', 1_000));
    expect(await eventTypes(page)).toEqual(['open']);
    expect(host.visits).toHaveLength(1);
    expect(host.errors).toEqual([]);
  });

  test('delivers each message once although its stream is cut during traffic', async () => {
    const cuts = 8;
    const down = compose('down', 200 * cuts);
    const host = await openHost();
    const page = await openPage(browser, `${host.origin}/drop-in`);
    await openClient(page);
    await page.evaluate(() => {
      window.client.addEventListener('message', ({ data }) => window.client.send(data));
    });
    const visit = await host.visit();
    const { connection } = visit;

    for (let cut = 0; cut < cuts; cut++) {
      const next = down.slice(200 * cut, 200 * (cut + 1));
      for (const message of next.slice(0, 50)) connection.send(message);
      await host.waitFor(() => visit.messages.length > 200 * cut); // both directions carry messages
      const outcome = ['unwritten', 'written', 'swallowed', 'all'][cut % 4];
      if (outcome === 'swallowed') host.swallow(connection);
      for (const message of next.slice(50)) connection.send(message);
      if (outcome !== 'unwritten') await setImmediate();
      if (outcome === 'all') host.cutAll();
      else host.cut(connection);
      await host.waitFor(() => visit.reconnects > cut);
    }
    connection.send('the end');
    await host.waitFor(() => visit.messages.length > down.length);
    await settle(page);

    expect(await receive(page, down.length + 1)).toEqual([...down, 'the end']);
    expect(visit.messages).toEqual([...down, 'the end']);
    expect(visit).toMatchObject({ disconnects: cuts, reconnects: cuts });
    expect(visit.end).toBeUndefined();
    expect(host.visits).toHaveLength(1);
    const types = await eventTypes(page);
    expect(types.filter((type) => type !== 'error')).toEqual([
      'open',
      ...Array.from({ length: cuts }, () => ['disconnect', 'reconnect']).flat(),
    ]);
  });

  test('sends its remaining messages and closes the session when the user leaves the page', async () => {
    const host = await openHost();
    const page = await openPage(browser, `${host.origin}/drop-in`);
    await openClient(page);
    const visit = await host.visit();

    await page.evaluate(() => {
      for (let index = 0; index < 10; index++) window.client.send(index);
      location.href = '/';
    });
    await host.waitFor(() => visit.end !== undefined);

    expect(visit.end).toMatchObject({ code: 1001, reason: 'pagehide' });
    expect(visit.messages).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    // Closing a context during a navigation may hang Playwright.
    await page.waitForURL(`${host.origin}/`);
  });

  test('delivers all messages before it closes', async () => {
    const host = await openHost();
    const page = await openPage(browser, `${host.origin}/drop-in`);
    await openClient(page);
    const visit = await host.visit();
    await page.evaluate(
      (messages) => {
        for (const message of messages) window.client.send(message);
        window.client.close(3001, 'bye');
      },
      compose('up', 1_000),
    );

    expect(await waitForEvent(page, 'close')).toMatchObject({
      code: 3001,
      reason: 'bye',
      wasClean: true,
      unacknowledged: [],
    });
    expect(visit.end).toMatchObject({ code: 3001, reason: 'bye' });
    expect(visit.messages).toEqual(compose('up', 1_000));
    expect(await page.evaluate(() => window.client.readyState)).toBe(3);
    expect([...host.sse.connections]).toEqual([]);
  });

  test("works under a content security policy of script-src 'self'", async () => {
    const policy =
      "default-src 'none'; script-src 'self'; connect-src 'self'; require-trusted-types-for 'script'";
    const host = await openHost({
      pages: (app) => {
        app.get('/strict', (_request, response) => {
          response.set('Content-Security-Policy', policy);
          response
            .type('html')
            .send(`${HTML}<script src="/sse/client.js"></script><script src="/own.js"></script>`);
        });
        app.get('/own.js', (_request, response) => {
          response.type('js').send(`
            addEventListener('securitypolicyviolation', (event) => client.send(event.blockedURI));
            const client = new SseClient('/sse');
            client.onmessage = ({ data }) => client.send(data);
          `);
        });
      },
    });
    const page = await openPage(browser, `${host.origin}/strict`);
    const { connection, messages } = await host.visit();
    connection.send('there and back');
    await host.waitFor(() => messages.length > 0);
    expect(messages).toEqual(['there and back']);

    // The policy is in force, and it was not broken before.
    await page.evaluate(() => {
      new Image().src = '/blocked.png';
    });
    await host.waitFor(() => messages.length > 1);
    expect(messages).toEqual(['there and back', `${host.origin}/blocked.png`]);
  });

  describe('on a page of another origin', () => {
    const openForeignPage = async (host: Host) => {
      const foreign = await Host.open({
        pages: (app) => {
          app.get('/foreign', (_request, response) => {
            response
              .type('html')
              .send(`${HTML}<script src="${host.origin}/sse/client.js"></script>`);
          });
        },
      });
      const page = await openPage(browser, `${foreign.origin}/foreign`);
      return { page, origin: foreign.origin };
    };

    test('works with cookies and headers if the origin is allowed, and after a reconnect', async () => {
      const requests: [method: string, cookie?: string, token?: string][] = [];
      const allowed: string[] = [];
      const host = await openHost({
        allowedOrigins: (origin) => allowed.includes(origin),
        authorize: (request) => {
          requests.push([request.method, request.get('Cookie'), request.get('X-Token')]);
          return true;
        },
      });
      const { page, origin } = await openForeignPage(host);
      allowed.push(origin);
      await page.context().addCookies([{ name: 'user', value: 'ada', url: host.origin }]);
      await openClient(page, `${host.origin}/sse`, {
        credentials: 'include',
        headers: { 'X-Token': 'secret' },
      });
      const visit = await host.visit();

      await send(page, compose('up', 100));
      await host.waitFor(() => visit.messages.length >= 100);
      host.cut(visit.connection);
      for (const message of compose('down', 100)) visit.connection.send(message);

      expect(await receive(page, 100)).toEqual(compose('down', 100));
      expect(visit.messages).toEqual(compose('up', 100));
      expect(visit.reconnects).toBe(1);
      expect(await eventTypes(page)).toEqual(['open', 'disconnect', 'reconnect']);
      expect(new Set(requests.map(([method]) => method))).toEqual(new Set(['GET', 'POST']));
      expect(new Set(requests.map(([, ...credentials]) => credentials.join()))).toEqual(
        new Set(['user=ada,secret']),
      );
    });

    test('closes the session although the page is gone when the preflight gets its response', async () => {
      let allowPreflight: (() => void) | undefined;
      const host = await openHost({
        allowedOrigins: () => true,
        ahead: (request, _response, next) => {
          if (request.get('Access-Control-Request-Method') === 'POST') allowPreflight = next;
          else next();
        },
      });
      const { page } = await openForeignPage(host);
      await openClient(page, `${host.origin}/sse`, { headers: { 'X-Token': 'secret' } });
      const visit = await host.visit();

      await page.goto('about:blank');
      await host.waitFor(() => visit.disconnects === 1 && allowPreflight !== undefined);
      expect(visit.end).toBeUndefined();
      allowPreflight!();
      await host.waitFor(() => visit.end !== undefined);
      expect(visit.end).toMatchObject({ code: 1001, reason: 'pagehide' });
    });

    test('reports an error if the origin is not allowed', async () => {
      const host = await openHost();
      const { page, origin } = await openForeignPage(host);
      await createClient(page, `${host.origin}/sse`);

      expect(await waitForEvent(page, 'error')).toMatchObject({
        message: 'TypeError: Failed to fetch',
      });
      expect(await eventTypes(page)).not.toContain('open');
      expect(host.visits).toEqual([]);
      expect(host.calls[0]).toMatchObject({ method: 'GET', status: 403 });
      expect(host.errors[0]).toMatchObject({
        code: 'forbidden',
        message: expect.stringContaining(`origin "${origin}" is not allowed`) as string,
      });
    });
  });

  describe('with the back/forward cache', () => {
    let cachingBrowser: Browser;

    beforeAll(async () => {
      cachingBrowser = await launchChromium({ backForwardCache: true });
    });

    afterAll(() => cachingBrowser.close());

    /** Opens a page and leaves it, so that it is in the cache. */
    async function leavePage(host: Host): Promise<Page> {
      const page = await openPage(cachingBrowser, `${host.origin}/drop-in`);
      await openClient(page);
      const { connection } = await host.visit();
      await page.evaluate(() => {
        addEventListener('pageshow', ({ persisted }) => {
          window.recorded.push({ type: persisted ? 'restored' : 'loaded' });
        });
      });
      await send(page, ['before']);
      connection.send('before');
      await receive(page, 1);
      await page.goto(host.origin);
      return page;
    }

    /** Goes back. Playwright's `goBack` would wait for a load event that does not occur. */
    async function goBack(page: Page): Promise<void> {
      await page.evaluate(() => history.back());
      await page.waitForURL('**/drop-in', { waitUntil: 'commit' });
    }

    test('resumes its session when the user returns to the page', async () => {
      const host = await openHost();
      const page = await leavePage(host);
      const visit = await host.visit();
      await host.waitFor(() => visit.disconnects === 1);
      for (const message of compose('away', 100)) visit.connection.send(message);

      await goBack(page);
      expect(await receive(page, 101)).toEqual(['before', ...compose('away', 100)]);
      await send(page, ['after']);
      await settle(page);
      expect(visit).toMatchObject({ messages: ['before', 'after'], disconnects: 1, reconnects: 1 });
      expect(host.visits).toHaveLength(1);
      const types = await eventTypes(page);
      expect(types.toSorted()).toEqual(['disconnect', 'open', 'reconnect', 'restored']);
    });

    test('opens a new session when the user returns after the timeout', async () => {
      const host = await openHost({ reconnectTimeout: 200 });
      const page = await leavePage(host);
      const visit = await host.visit();
      await host.waitFor(() => visit.disconnects === 1);
      visit.connection.send('away');
      await host.waitFor(() => visit.end !== undefined);
      expect(visit.end).toMatchObject({ code: 1006, unacknowledged: ['before', 'away'] });

      await goBack(page);
      expect(await waitForEvent(page, 'sessionlost')).toMatchObject({ unacknowledged: [] });
      const next = await host.visit(1);
      next.connection.send('welcome back');
      await send(page, ['after']);
      expect(await receive(page, 2)).toEqual(['before', 'welcome back']);
      await host.waitFor(() => next.messages.length > 0);
      expect(host.visits.map(({ messages }) => messages)).toEqual([['before'], ['after']]);
      expect(await eventTypes(page)).toContain('restored');
    });

    test('closes the session when the tab is closed', async () => {
      const host = await openHost();
      const page = await openPage(cachingBrowser, `${host.origin}/drop-in`);
      await openClient(page);
      const visit = await host.visit();
      await page.close({ runBeforeUnload: true });
      await host.waitFor(() => visit.end !== undefined);

      expect(visit.end).toMatchObject({ code: 1001, reason: 'pagehide' });
    });
  });
});

test('The built module works in a module worker', async () => {
  const built = readFileSync(resolve(__dirname, '../../dist/client/index.mjs'));
  const host = await Host.open({
    pages: (app) => {
      app.get('/client.mjs', (_request, response) => {
        response.type('js').send(built);
      });
      app.get('/worker.mjs', (_request, response) => {
        response.type('js').send(`
          import { SseClient } from './client.mjs';
          const client = new SseClient('/sse');
          client.onmessage = ({ data }) => client.send({ echo: data });
        `);
      });
    },
  });
  const page = await openPage(browser, host.origin);
  await page.evaluate(() => {
    new Worker('/worker.mjs', { type: 'module' });
  });
  const { connection, messages } = await host.visit();
  for (const message of compose('down', 100)) connection.send(message);
  await host.waitFor(() => messages.length >= 100);
  expect(messages).toEqual(compose('down', 100).map((message) => ({ echo: message })));
});
