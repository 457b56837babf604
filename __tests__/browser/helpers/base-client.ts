import { randomInt, randomUUID } from 'node:crypto';
import type { JSHandle, Page } from 'playwright-core';

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
  /** POSTs not answered yet, or that wait for their turn. */
  pending = 0;
  onmessage = (_message: string) => {};

  readonly #url: string;
  readonly #eventSource: EventSource;
  #lastMessageId = -1;
  #errorTimer: number | undefined;
  /** What was sent before the stream was first open. */
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
      for (const message of unsent) void this.#post(JSON.stringify(message));
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
    if (this.#unsent) this.#unsent.push(message);
    else void this.#post(JSON.stringify(message));
  }

  /** Beyond Dart's client: sends what is not JSON. It takes a number as any message does. */
  sendBody(body: string): void {
    void this.#post(body);
  }

  async #post(body: string): Promise<void> {
    const { pool } = window.BaseClient;
    this.pending++;
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

/** Makes a client on the page. */
export async function openBaseClient(
  page: Page,
  id = newBase64Id(),
): Promise<JSHandle<BaseClient>> {
  await page.evaluate(`window.BaseClient ??= ${BaseClient.toString()}`);
  return page.evaluateHandle((own) => new window.BaseClient('/sse', own), id);
}
