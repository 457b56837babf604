import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fc from 'fast-check';
import type { Browser } from 'playwright-core';
import { hardValue } from '../security/hard-values';
import { seeds } from '../helpers/random';
import { launchChromium, openUnwatchedPage } from './helpers/chromium';
import { Host } from './helpers/host';

const COUNT = 100_000;
const END = 'the end';

jest.setTimeout(240_000);

let browser: Browser;

beforeAll(async () => {
  browser = await launchChromium();
});

afterAll(() => browser.close());

/** Runs in the page: reads messages with EventSource until `end`. It is sent to the page as text. */
async function readAll(end: string): Promise<{ count: number; hash: string; others: string[] }> {
  const source = new EventSource('/sse?sseClientId=parsers');
  const others: string[] = [];
  for (const type of ['hello', 'ping', 'close', 'error']) {
    source.addEventListener(type, () => others.push(type));
  }
  const texts: string[] = [];
  await new Promise<void>((resolve) => {
    source.onmessage = ({ data }: MessageEvent<string>) => {
      if (data === end) resolve();
      else texts.push(data);
    };
  });
  source.close();
  const bytes = new TextEncoder().encode(texts.join('\n'));
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const hash = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return { count: texts.length, hash, others };
}

describe("Chromium's EventSource", () => {
  const [seed] = seeds(1) as [number];

  test(`reads each of ${COUNT} random values as one message (SEED=${seed})`, async () => {
    const host = await Host.open();
    const page = await openUnwatchedPage(browser, host.origin);
    const reading = page.evaluate(`(${readAll.toString()})(${JSON.stringify(`"${END}"`)})`);
    const { connection } = await host.visit();

    const sent: string[] = [];
    for (const value of fc.sample(hardValue, { numRuns: COUNT, seed })) {
      let isReady: boolean;
      try {
        isReady = connection.send(value);
      } catch (error) {
        expect(error).toBeInstanceOf(TypeError);
        continue;
      }
      sent.push(JSON.stringify(value));
      if (!isReady) await once(connection, 'drain');
    }
    connection.send(END);

    const hash = createHash('sha256').update(sent.join('\n')).digest('hex');
    // The stream begins with an event of this name, which sets the Last-Event-ID.
    expect(await reading).toEqual({ count: sent.length, hash, others: ['hello'] });
    expect(sent.length).toBeGreaterThan(0.9 * COUNT);
  });
});
