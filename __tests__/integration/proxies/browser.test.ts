import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LaunchOptions } from 'puppeteer-core';
import type { SseClient } from '../../../lib/client';
import { launchChromium } from '../../browser/helpers/engines';
import { Host } from '../../browser/helpers/host';
import { CERTIFICATE_FILE } from '../../helpers/certificate';
import { onTestFinished } from '../../helpers/on-test-finished';
import { startNginx } from './nginx';
import type { Nginx, NginxOptions } from './nginx';

declare global {
  interface Window {
    client: SseClient;
    received: unknown[];
    events: string[];
  }
}

jest.setTimeout(90_000);

const PAGE = `<!doctype html><title>page</title>
  <script src="/sse/client.js"></script>
  <script>
    const received = [];
    const events = [];
    const client = new SseClient('/sse');
    client.onmessage = ({ data }) => received.push(data);
    for (const type of ['open', 'error', 'disconnect', 'reconnect', 'sessionlost', 'close']) {
      client.addEventListener(type, ({ message }) => events.push(message ?? type));
    }
    Object.assign(window, { client, received, events });
  </script>`;

/** Starts a server with a page, nginx in front of it, and Chromium. */
async function open(nginxOptions: NginxOptions, browserOptions: LaunchOptions) {
  const host = await Host.open({
    pages: (app) => {
      app.get('/page', (_request, response) => {
        response.type('html').send(PAGE);
      });
    },
  });
  const nginx = await startNginx(host.port, nginxOptions);
  onTestFinished(() => nginx.stop());
  const browser = await launchChromium(browserOptions);
  onTestFinished(() => browser.close());
  const page = await browser.openPage();
  return { host, nginx, page };
}

describe('Behind nginx that terminates TLS and speaks HTTP/2, the drop-in client', () => {
  it('exchanges 1,000 messages in each direction although nginx closes the connection every 100 requests', async () => {
    const { host, nginx, page } = await open(
      {
        listen: 'ssl http2',
        http: "log_format request '$connection $server_protocol $request_method';",
        server: `
          ssl_certificate ${CERTIFICATE_FILE};
          ssl_certificate_key ${CERTIFICATE_FILE};
          keepalive_requests 100;
          access_log requests.log request;`,
      },
      { acceptInsecureCerts: true },
    );
    await page.goto(`https://127.0.0.1:${nginx.port}/page`);
    const { connection, messages } = await host.visit();
    for (let number = 0; number < 1_000; number++) connection.send({ number });
    const { received, events } = await page.evaluate(async () => {
      const { client, received, events } = window;
      // Waiting for `drain` makes each message a POST of its own.
      for (let number = 0; number < 1_000; number++) {
        client.send({ number });
        while (client.bufferedAmount > 0) {
          await new Promise((resolve) => client.addEventListener('drain', resolve, { once: true }));
        }
      }
      return { received, events };
    });

    const numbered = Array.from({ length: 1_000 }, (_, number) => ({ number }));
    expect(messages).toEqual(numbered);
    expect(received).toEqual(numbered);
    expect(events).toEqual(['open']);
    const requests = readRequests(nginx);
    expect(new Set(requests.map(({ protocol }) => protocol))).toEqual(new Set(['HTTP/2.0']));
    expect(requests.filter(({ method }) => method === 'POST').length).toBeGreaterThanOrEqual(1_000);
    expect(new Set(requests.map((request) => request.connection)).size).toBeGreaterThanOrEqual(10);
  });
});

// Over plain HTTP browsers send no Sec-Fetch-Site, except on the loopback.
describe('Behind nginx without TLS, the drop-in client', () => {
  const asBoard = { args: ['--host-resolver-rules=MAP board.test 127.0.0.1'] };

  it('gets a 403 for its first message that names the fix if nginx rewrites Host', async () => {
    const { nginx, page } = await open({}, asBoard);
    await page.goto(`http://board.test:${nginx.port}/page`);
    const events = await page.evaluate(async () => {
      window.client.send('hello');
      await new Promise((resolve) => window.client.addEventListener('close', resolve));
      return window.events;
    });
    expect(events).toEqual([
      'open',
      expect.stringContaining('nginx: proxy_set_header Host $http_host'),
      'close',
    ]);
  });

  it('works if nginx passes Host on', async () => {
    const passHost = { location: 'proxy_set_header Host $http_host;' };
    const { host, nginx, page } = await open(passHost, asBoard);
    await page.goto(`http://board.test:${nginx.port}/page`);
    await page.evaluate(() => window.client.send('hello'));
    const { messages } = await host.visit();
    await host.waitFor(() => messages.length > 0);
    expect(messages).toEqual(['hello']);
  });
});

function readRequests({ folder }: Nginx) {
  const lines = readFileSync(join(folder, 'requests.log'), 'utf8').trim().split('\n');
  return lines.map((line) => {
    const [connection, protocol, method] = line.split(' ');
    return { connection, protocol, method };
  });
}
