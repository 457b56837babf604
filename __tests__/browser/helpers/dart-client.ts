import { randomInt, randomUUID } from 'node:crypto';
import type { Browser, JSHandle, Page } from 'playwright-core';
import { openUnwatchedPage } from './chromium';

declare global {
  interface Window {
    BaseClient: typeof BaseClient;
  }
}

/**
 * What `SseClient` of Dart's `package:sse` does, step for step, in a page.
 * Source: dart-lang/tools, pkgs/sse 4.2.0, lib/client/sse_client.dart.
 *
 * It goes to the page as text: it may use nothing but itself and the page.
 */
export class BaseClient {
  /** 1,000 requests under way at once, of all clients of the page. */
  static readonly pool = { free: 1_000, queue: [] as (() => void)[] };

  readonly received: string[] = [];
  /** Data of `control` events. */
  readonly controls: string[] = [];
  /** Why it gave up. */
  error: string | undefined;
  /** When. */
  closedAt: number | undefined;
  /** When the stream was opened, each time. */
  readonly openedAt: number[] = [];
  /** When the stream was lost, or could not be opened, each time. */
  readonly failedAt: number[] = [];
  /** Messages whose POST is not answered yet, or waits for its turn. */
  pending = 0;
  onmessage = (_message: string) => {};

  readonly #url: string;
  readonly #eventSource: EventSource;
  #lastMessageId = -1;
  #errorTimer: number | undefined;
  /** Bodies of what was sent before the stream was first open. */
  #unsent: string[] | undefined = [];

  constructor(url: string, id: string) {
    this.#url = `${url}?sseClientId=${id}`;
    this.#eventSource = new EventSource(this.#url, { withCredentials: true });
    this.#eventSource.addEventListener('message', (event: MessageEvent<string>) => {
      const message: unknown = JSON.parse(event.data);
      if (typeof message !== 'string') throw new TypeError(`not a String: ${event.data}`);
      this.received.push(message);
      this.onmessage(message);
    });
    this.#eventSource.addEventListener('control', (event: MessageEvent<string>) => {
      this.controls.push(event.data);
      if (event.data !== 'close') throw new Error(`Illegal Control Message "${event.data}"`);
      this.#close();
    });
    this.#eventSource.addEventListener('open', () => {
      this.openedAt.push(performance.now());
      clearTimeout(this.#errorTimer);
      this.#errorTimer = undefined;
      const unsent = this.#unsent ?? [];
      this.#unsent = undefined;
      for (const body of unsent) void this.#post(body);
    });
    this.#eventSource.addEventListener('error', () => {
      this.failedAt.push(performance.now());
      this.#errorTimer ??= window.setTimeout(() => {
        this.#errorTimer = undefined;
        this.#closeWithError('the stream did not come back within 5 s');
      }, 5_000);
    });
  }

  /** EventSource's own: 2, and it will never come back. */
  get readyState(): number {
    return this.#eventSource.readyState;
  }

  /** Of the EventSource: milliseconds that the browser took to come back, each time. */
  get gaps(): number[] {
    return this.failedAt.map((lost) => (this.openedAt.find((at) => at > lost) ?? NaN) - lost);
  }

  send(message: string): void {
    if (this.closedAt !== undefined) throw new Error('Bad state: Cannot add event after closing');
    this.sendBody(JSON.stringify(message));
  }

  /** Beyond Dart's client: sends what need not be JSON. It takes a number as any message does. */
  sendBody(body: string): void {
    this.pending++;
    if (this.#unsent) this.#unsent.push(body);
    else void this.#post(body);
  }

  /** Waits until no POST is under way. */
  async settle(): Promise<void> {
    while (this.pending > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  async #post(body: string): Promise<void> {
    const { pool } = window.BaseClient;
    if (pool.free > 0) pool.free--;
    else await new Promise<void>((resolve) => pool.queue.push(resolve));
    try {
      const url = `${this.#url}&messageId=${++this.#lastMessageId}`;
      await fetch(url, { method: 'POST', body, credentials: 'include' });
    } catch (error) {
      this.#closeWithError(String(error));
    }
    const next = pool.queue.shift();
    if (next) next();
    else pool.free++;
    this.pending--;
  }

  #closeWithError(error: string): void {
    this.error ??= error;
    this.#close();
  }

  #close(): void {
    this.#eventSource.close();
    this.closedAt ??= performance.now();
  }
}

/** What Dart's client calls itself from 4.1.8 on: 6 characters of base64, here with all that may trouble a URL. */
export function newBase64Id(): string {
  const letter = () => BASE64.charAt(randomInt(62));
  return `${letter()}+${letter()}/${letter()}${letter()}`;
}
const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** What it called itself before, with a debug key. */
export function newDebugId(): string {
  return `debugKey-${randomUUID()}`;
}

const INSTALL = `window.BaseClient ??= ${BaseClient.toString()}`;

/** Makes a client on the page. */
export async function openBaseClient(
  page: Page,
  id = newBase64Id(),
): Promise<JSHandle<BaseClient>> {
  await page.evaluate(INSTALL);
  return page.evaluateHandle((own) => new window.BaseClient('/sse', own), id);
}

/** A client that Playwright does not watch. */
export interface UnwatchedClient {
  /** As a handle's `evaluate`. The function goes as text. */
  evaluate<T>(inPage: (client: BaseClient) => T | Promise<T>): Promise<T>;
}

/** Makes a client on a page of its own that Playwright does not watch. */
export async function openUnwatchedClient(
  browser: Browser,
  origin: string,
  id: string,
): Promise<UnwatchedClient> {
  const page = await openUnwatchedPage(browser, origin);
  await page.evaluate(
    `${INSTALL}; window.client = new BaseClient('/sse', ${JSON.stringify(id)}); 0`,
  );
  return {
    evaluate: <T>(inPage: (client: BaseClient) => T | Promise<T>) =>
      page.evaluate(`(${inPage.toString()})(window.client)`) as Promise<T>,
  };
}
