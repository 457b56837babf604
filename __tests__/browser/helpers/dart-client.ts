import { randomInt, randomUUID } from 'node:crypto';
import type { Browser, JSHandle, Page } from 'playwright-core';
import { openUnwatchedPage } from './chromium';

declare global {
  interface Window {
    DartClient: typeof DartClient;
  }
}

/**
 * A translation of `SseClient` of Dart's `package:sse` 4.2.0
 * (dart-lang/tools, pkgs/sse/lib/client/sse_client.dart).
 *
 * The class is sent to the page as text, so it may only use itself and globals of the page.
 */
export class DartClient {
  /** Limits all clients of the page to 1,000 requests at a time. */
  static readonly pool = { free: 1_000, queue: [] as (() => void)[] };

  readonly received: string[] = [];
  /** Data of `control` events. */
  readonly controls: string[] = [];
  /** Why the client closed itself. */
  error: string | undefined;
  isClosed = false;
  /** Number of times the stream was opened. */
  opens = 0;
  /** Number of times the stream was lost or could not be opened. */
  failures = 0;
  /** Number of messages whose POST has no response yet. */
  pending = 0;
  onmessage = (_message: string) => {};

  readonly #url: string;
  readonly #eventSource: EventSource;
  #lastMessageId = -1;
  #errorTimer: number | undefined;
  /** Bodies of messages that were sent before the stream was opened for the first time. */
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
      this.opens++;
      clearTimeout(this.#errorTimer);
      this.#errorTimer = undefined;
      const unsent = this.#unsent ?? [];
      this.#unsent = undefined;
      for (const body of unsent) void this.#post(body);
    });
    this.#eventSource.addEventListener('error', () => {
      this.failures++;
      this.#errorTimer ??= window.setTimeout(() => {
        this.#errorTimer = undefined;
        this.#closeWithError('the stream did not come back within 5 s');
      }, 5_000);
    });
  }

  /** State of the EventSource. 2 means that it does not reconnect. */
  get readyState(): number {
    return this.#eventSource.readyState;
  }

  send(message: string): void {
    if (this.isClosed) throw new Error('Bad state: Cannot add event after closing');
    this.sendBody(JSON.stringify(message));
  }

  /** Not in Dart's client: sends a body that need not be JSON. It consumes a message number. */
  sendBody(body: string): void {
    this.pending++;
    if (this.#unsent) this.#unsent.push(body);
    else void this.#post(body);
  }

  /** Waits until no POST is in flight. */
  async settle(): Promise<void> {
    while (this.pending > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  async #post(body: string): Promise<void> {
    const { pool } = window.DartClient;
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
    this.isClosed = true;
  }
}

/** Returns an id as Dart's client creates it since 4.1.8: 6 characters of base64, here with + and /. */
export function newBase64Id(): string {
  const letter = () => BASE64.charAt(randomInt(62));
  return `${letter()}+${letter()}/${letter()}${letter()}`;
}
const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Returns an id as Dart's client created it before, with a debug key. */
export function newDebugId(): string {
  return `debugKey-${randomUUID()}`;
}

const INSTALL = `window.DartClient ??= ${DartClient.toString()}`;

/** Creates a client on the page. */
export async function openDartClient(
  page: Page,
  id = newBase64Id(),
): Promise<JSHandle<DartClient>> {
  await page.evaluate(INSTALL);
  return page.evaluateHandle((own) => new window.DartClient('/sse', own), id);
}

/** A client on a page that Playwright does not watch. */
export interface UnwatchedClient {
  /** Like `evaluate` of a Playwright handle. The function is sent as text. */
  evaluate<T>(inPage: (client: DartClient) => T | Promise<T>): Promise<T>;
}

/** Creates a client on a new page that Playwright does not watch. */
export async function openUnwatchedClient(
  browser: Browser,
  origin: string,
  id: string,
): Promise<UnwatchedClient> {
  const page = await openUnwatchedPage(browser, origin);
  await page.evaluate(
    `${INSTALL}; window.client = new DartClient('/sse', ${JSON.stringify(id)}); 0`,
  );
  return {
    evaluate: <T>(inPage: (client: DartClient) => T | Promise<T>) =>
      page.evaluate(`(${inPage.toString()})(window.client)`) as Promise<T>,
  };
}
