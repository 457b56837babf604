import type { SseClient as Client } from '../../lib/client';
import { ChaosProxy } from '../helpers/chaos-proxy';
import { onTestFinished } from '../helpers/on-test-finished';
import { startProgram } from '../helpers/programs';
import { waitFor } from '../helpers/wait-for';
import { launchChromium, launchFirefox, launchWebKit } from './helpers/engines';
import type { Engine, EnginePage } from './helpers/engines';
import { Host, addDropInPage, compose } from './helpers/host';

declare global {
  interface Window {
    SseClient: typeof Client;
    client: Client;
    received: unknown[];
    /** The client's other events: type and message or reason. */
    events: string[];
    /** Streams of the page that do not belong to the client. */
    otherStreams: EventSource[];
  }
}

jest.setTimeout(60_000);

const openHost = () => Host.open({ pages: addDropInPage });

/** Creates a client on a page that has the script. */
function createClient(page: EnginePage): Promise<void> {
  return page.evaluate(() => {
    const client = new window.SseClient('/sse');
    window.client = client;
    window.received = [];
    window.events = [];
    client.onmessage = ({ data }) => window.received.push(data);
    client.onopen = () => window.events.push('open');
    client.onreconnect = () => window.events.push('reconnect');
    client.ondisconnect = () => window.events.push('disconnect');
    client.onerror = ({ message }) => window.events.push(`error: ${message}`);
    client.onsessionlost = ({ reason }) => window.events.push(`sessionlost: ${reason}`);
    client.onclose = ({ reason }) => window.events.push(`close: ${reason}`);
  });
}

/** Creates a client and waits for its `open` event. */
async function openClient(page: EnginePage): Promise<void> {
  await createClient(page);
  await page.evaluate(async () => {
    while (!window.events.includes('open')) await new Promise((resolve) => setTimeout(resolve, 20));
  });
}

function send(page: EnginePage, messages: unknown[]): Promise<void> {
  return page.evaluate((all) => all.forEach((message) => window.client.send(message)), messages);
}

/** Waits for `count` messages and returns all received messages. */
function receive(page: EnginePage, count: number): Promise<unknown[]> {
  return page.evaluate(async (wanted) => {
    while (window.received.length < wanted) await new Promise((resolve) => setTimeout(resolve, 20));
    return window.received;
  }, count);
}

const eventsOf = (page: EnginePage) => page.evaluate(() => window.events);

describe.each([
  ['Chromium', launchChromium],
  ['Firefox', launchFirefox],
  ['WebKitGTK', launchWebKit],
] as [string, () => Promise<Engine>][])('In %s', (_, launch) => {
  let engine: Engine;

  beforeAll(async () => {
    engine = await launch();
  });

  afterAll(() => engine.close());

  async function openPage(url: string): Promise<EnginePage> {
    const page = await engine.openPage();
    onTestFinished(() => page.close());
    await page.goto(url);
    return page;
  }

  test('the drop-in client exchanges 1,000 messages in each direction at the same time', async () => {
    const host = await openHost();
    const page = await openPage(`${host.origin}/drop-in`);
    await openClient(page);
    const { connection, messages } = await host.visit();

    const sending = send(page, compose('up', 1_000));
    for (const message of compose('down', 1_000)) connection.send(message);
    await sending;
    connection.send('the end');

    expect(await receive(page, 1_001)).toEqual([...compose('down', 1_000), 'the end']);
    await host.waitFor(() => messages.length >= 1_000);
    expect(messages).toEqual(compose('up', 1_000));
    expect(await eventsOf(page)).toEqual(['open']);
    expect(host.visits).toHaveLength(1);
  });

  test('the drop-in client exchanges bytes with the server', async () => {
    const host = await openHost();
    const page = await openPage(`${host.origin}/drop-in`);
    await openClient(page);
    const { connection, messages } = await host.visit();
    const all = Buffer.from(Array.from({ length: 70_000 }, (_, i) => (i * 7) % 256));
    connection.send(all);
    connection.send('text');
    await receive(page, 2);
    await page.evaluate(() => {
      const [bytes] = window.received as [ArrayBuffer];
      window.client.send(new Uint8Array(bytes, 1, 3));
      window.client.send(new Blob(['blob ', bytes]));
      window.client.send(bytes);
      window.client.send(`${bytes.constructor.name} of ${bytes.byteLength} bytes`);
    });
    await host.waitFor(() => messages.length === 4);
    expect(messages[0]).toEqual(Buffer.from([7, 14, 21]));
    expect(Buffer.concat([Buffer.from('blob '), all]).equals(messages[1] as Buffer)).toBe(true);
    expect(all.equals(messages[2] as Buffer)).toBe(true);
    expect(messages[3]).toBe('ArrayBuffer of 70000 bytes');
  });

  test('the drop-in client delivers each message once although its stream is cut during traffic', async () => {
    const cuts = 4;
    const down = compose('down', 250 * cuts);
    const host = await openHost();
    const proxy = await ChaosProxy.open(host.port);
    onTestFinished(() => proxy.close());
    const page = await openPage(`${proxy.origin}/drop-in`);
    await openClient(page);
    await page.evaluate(() => {
      window.client.addEventListener('message', ({ data }) => window.client.send(data));
    });
    const visit = await host.visit();

    for (let cut = 0; cut < cuts; cut++) {
      const struck = proxy.inject({ kind: 'rst', method: 'GET', direction: 'down', after: 20_000 });
      void proxy.inject({ kind: 'rst', method: 'POST', direction: 'down', after: 0 });
      for (const message of down.slice(250 * cut, 250 * (cut + 1))) visit.connection.send(message);
      await struck;
      await host.waitFor(() => visit.reconnects > cut && visit.messages.length >= 250 * (cut + 1));
    }
    visit.connection.send('the end');
    await host.waitFor(() => visit.messages.length > down.length);

    expect(await receive(page, down.length + 1)).toEqual([...down, 'the end']);
    expect(visit.messages).toEqual([...down, 'the end']);
    expect(proxy.struck).toBe(2 * cuts);
    expect(visit.reconnects).toBe(cuts);
    expect(visit.end).toBeUndefined();
    expect(host.visits).toHaveLength(1);
  });

  test('the drop-in client closes its session when the page is reloaded', async () => {
    const host = await openHost();
    const page = await openPage(`${host.origin}/drop-in`);
    await openClient(page);
    const visit = await host.visit();
    await send(page, ['last words']);
    await page.reload();

    await waitFor(() => visit.end !== undefined, 10_000); // its `reconnectTimeout` is 30 s
    expect(visit.end).toMatchObject({ code: 1001, reason: 'pagehide' });
    expect(visit.messages).toEqual(['last words']);
  });

  test('the drop-in client reports that no connection is free, and connects when one is', async () => {
    const host = await openHost();
    const page = await openPage(`${host.origin}/drop-in`);
    await page.evaluate(() => {
      const toStream = (_: unknown, index: number) =>
        new EventSource(`/sse?sseClientId=other-${index}`);
      window.otherStreams = Array.from({ length: 6 }, toStream);
    });
    await host.visit(5);
    await createClient(page);
    const events = await page.evaluate(async () => {
      while (window.events.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      return window.events;
    });
    expect(events).toEqual([expect.stringMatching(/^error: no event .*3000 ms/)]);

    await page.evaluate(() => window.otherStreams[0]!.close());
    await host.visit(6);
    host.visits[6]!.connection.send('welcome');
    expect(await receive(page, 1)).toEqual(['welcome']);
  });

  test('the example app shows a chat message', async () => {
    const app = await startProgram(
      process.execPath,
      () => ['example-app/server.mjs'],
      (port) => ({ PORT: String(port) }),
    );
    onTestFinished(() => app.stop());
    const page = await openPage(`http://127.0.0.1:${app.port}`);
    const shown = await page.evaluate(async () => {
      const waitFor = async (condition: () => boolean) => {
        while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
      };
      const lines = document.querySelector('#lines')!;
      await waitFor(() => document.body.dataset.line === 'open');
      document.querySelector<HTMLInputElement>('#say')!.value = 'Hello from here';
      document.querySelector<HTMLFormElement>('#chat-form')!.requestSubmit();
      await waitFor(() => lines.childElementCount > 0);
      return lines.textContent;
    });
    expect(shown).toContain('Hello from here');
  });
});

// Firefox does not cache a page that has a request in flight. client.test.ts tests Chromium's cache.
test('In WebKitGTK, the drop-in client resumes its session after the back/forward cache', async () => {
  const engine = await launchWebKit();
  onTestFinished(() => engine.close());
  const host = await openHost();
  const page = await engine.openPage();
  onTestFinished(() => page.close());
  await page.goto(`${host.origin}/drop-in`);
  await openClient(page);
  const visit = await host.visit();
  await page.goto(host.origin);
  await host.waitFor(() => visit.disconnects === 1);
  visit.connection.send('while away');
  await page.evaluate(() => history.back());
  await host.waitFor(() => visit.reconnects === 1);

  expect(await receive(page, 1)).toEqual(['while away']);
  expect(await eventsOf(page)).toEqual(['open', 'disconnect', 'reconnect']);
});
