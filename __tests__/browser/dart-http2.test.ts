import { createHash } from 'node:crypto';
import type { Browser } from 'playwright-core';
import { CERTIFICATE_FILE } from '../helpers/certificate';
import { onTestFinished } from '../helpers/on-test-finished';
import { startNginx } from '../integration/proxies/nginx';
import { launchChromium } from './helpers/chromium';
import { newBase64Id, openUnwatchedClient } from './helpers/dart-client';
import { Host } from './helpers/host';

jest.setTimeout(240_000);

let browser: Browser;

beforeAll(async () => {
  browser = await launchChromium({ ignoresCertificates: true });
});

afterAll(() => browser.close());

function hashOf(messages: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(messages)).digest('hex');
}

describe('A Dart-dialect client in Chromium over HTTP/2 behind nginx', () => {
  it('receives 7,000 messages and echoes each in a POST, although thousands of POSTs overtake one', async () => {
    // The test is about the window: how fast Chromium sends the POSTs depends on the machine.
    const host = await Host.open({ reorderTimeout: 90_000 });
    const nginx = await startNginx(host.port, {
      listen: 'ssl http2',
      // nginx closes a connection after 1,000 requests, and Dart's client then loses a POST.
      http: 'keepalive_requests 100000;',
      server: `ssl_certificate ${CERTIFICATE_FILE}; ssl_certificate_key ${CERTIFICATE_FILE};`,
      location: 'proxy_set_header Host $http_host;',
    });
    onTestFinished(() => nginx.stop());
    const origin = `https://127.0.0.1:${nginx.port}`;
    const client = await openUnwatchedClient(browser, origin, newBase64Id());
    await client.evaluate((own) => {
      own.onmessage = (message) => own.send(message);
    });
    const visit = await host.visit();
    const messages = Array.from({ length: 7_000 }, (_, index) => `${index} ü`);
    for (const message of messages) visit.connection.send(message);
    await host.waitFor(() => visit.messages.length >= messages.length || visit.end !== undefined);
    expect(visit.end).toBeUndefined();
    expect(hashOf(visit.messages)).toBe(hashOf(messages));
    expect(host.errors).toEqual([]);
  });
});
