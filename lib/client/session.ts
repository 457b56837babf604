import { nanoid } from 'nanoid';
import { createEventStreamDecoder } from '../protocol/event-stream';
import type { StreamEvent } from '../protocol/event-stream';
import {
  CLIENT_ID,
  CONTROL_CLOSE,
  CloseCode,
  MESSAGE_ID,
  PROTOCOL,
  PROTOCOL_HEADER,
  PROTOCOL_VERSION,
  formatLastEventId,
} from '../protocol/wire';
import type { Close, EventName, Fault, Hello, Ping } from '../protocol/wire';
import type { SseClientOptions } from './options';
import { createPostQueue } from './post-queue';
import { isPassing, retryAfter } from './response';
import { sleep } from './sleep';

/** Milliseconds until a stream that says nothing at its start is given up. */
const OPEN_TIMEOUT = 10_000;
/** Heartbeats without a byte after which a stream is dead. */
const SILENCE = 2.5;
/** Milliseconds that there are, at a session's end, to bring up what was sent before it. */
const DRAIN_TIMEOUT = 10_000;
/** In UTF-16 code units: twice the bytes that a server holds for a client by default. */
const LONGEST_EVENT = 2 ** 25;

export const CONNECTING = 0;
export const OPEN = 1;
export const CLOSING = 2;
export const CLOSED = 3;

/** What a session tells of, with the fields of the event. */
export interface SessionListener {
  (type: string, fields?: object): void;
}

/** Opens a session, and the next when the server has lost it, over as many streams as it takes. */
export function openSession(url: string, options: SseClientOptions, tell: SessionListener) {
  const { fetch = globalThis.fetch, headers, credentials, renew = true, debugKey } = options;
  const backoff =
    options.backoff ?? ((attempt) => Math.random() * Math.min(10_000, 500 * 2 ** attempt));

  let readyState: 0 | 1 | 2 | 3 = CONNECTING;
  let id = '';
  /** The session's proof, once it is open. */
  let token: string | undefined;
  let isBase = false;
  let queue = newQueue();

  /** Whether a stream stands. */
  let isConnected = false;
  /** Ends the GET that is under way. */
  let cut = (_reason: string) => {};
  /** Ends the wait before the next. */
  let wake = () => {};
  /** When the GET last gave a sign of life, on a clock that only goes forward. */
  let heardAt: number;
  /** How many milliseconds it may give none, and of what. */
  let patience: number;
  let awaited: string;
  /** What the server's end of the session asks for: settles with milliseconds to wait. */
  let farewell: Promise<number> | undefined;
  /** While the application does not read. */
  let pushback: Promise<void> | undefined;
  /** The page is in the back/forward cache. */
  let isHidden = false;
  /** Ends what was attached to the page. */
  const page = new AbortController();

  watchPage();
  void run();

  return {
    readyState: () => readyState,
    bufferedAmount: () => queue.byteLength(),
    send: (json: string) => queue.push(json),
    /** Reads no more of the stream until the promise settles. */
    pushBack(until: Promise<void>): void {
      pushback = until.then(() => {
        pushback = undefined;
      });
    },
    async close(close: Close): Promise<void> {
      const isIdle = readyState === CONNECTING && !queue.byteLength();
      readyState = CLOSING;
      if (!isIdle) await drain(close);
      end(close, !queue.byteLength());
    },
  };

  // --- The stream ----------------------------------------------------------------------------------

  /** Opens one after the other, until the end. */
  async function run(): Promise<void> {
    for (let attempt = 0; readyState < CLOSED;) {
      const { reason, wait = 0 } = await read();
      const comeBack = await farewell;
      farewell = undefined;
      if (readyState === (CLOSED as number)) return;

      if (isConnected) {
        isConnected = false;
        attempt = 0;
        tell('disconnect', { reason });
      } else if (comeBack === undefined) {
        tell('error', { message: reason });
      }
      const pause = comeBack ?? Math.max(wait, backoff(attempt++));
      await sleep(isHidden ? 2 ** 31 - 1 : pause, (wakeUp) => (wake = wakeUp));
    }
  }

  /** One GET, to its end. */
  async function read(): Promise<{ reason: string; wait?: number }> {
    const controller = new AbortController();
    const { signal } = controller;
    let reason = 'the stream ended';
    cut = (why) => {
      reason = why;
      controller.abort();
    };
    // An attempt whose answer was lost may have taken the name.
    if (!token && !isBase) id = (debugKey ? `${debugKey}-` : '') + nanoid();
    expect(OPEN_TIMEOUT, 'an answer (browsers have six connections to an HTTP/1.1 host)');
    const watchdog = setInterval(watch, 1_000);
    try {
      const proof = token && { 'Last-Event-ID': formatLastEventId(token, queue.received()) };
      const response = await request(
        { [PROTOCOL]: PROTOCOL_VERSION },
        { headers: { Accept: 'text/event-stream', ...proof }, signal, cache: 'no-store' },
      );
      if (!response.ok) {
        const fault = (await response.json().catch(() => ({}))) as Partial<Fault>;
        if (!isPassing(response)) refused(response.status, fault);
        return { reason: fault.message ?? `HTTP ${response.status}`, wait: retryAfter(response) };
      }
      expect(OPEN_TIMEOUT, 'a first event (a proxy may hold it back)');
      if (response.headers.get(PROTOCOL_HEADER) !== PROTOCOL_VERSION) openBase();

      const decode = createEventStreamDecoder((event) => {
        if (!signal.aborted) take(event);
      }, LONGEST_EVENT);
      const utf8 = new TextDecoder();
      const bytes = (response.body as ReadableStream<Uint8Array>).getReader();
      for (let chunk; !(chunk = await bytes.read()).done; await pushback) {
        heardAt = performance.now();
        decode(utf8.decode(chunk.value, { stream: true }));
      }
    } catch (error) {
      if (!signal.aborted) reason = String(error);
    } finally {
      clearInterval(watchdog);
      controller.abort();
    }
    return { reason };
  }

  function take({ type, data }: StreamEvent): void {
    const events: Partial<Record<string, () => void>> & Record<EventName, () => void> = {
      message() {
        const message: unknown = JSON.parse(data);
        queue.take(data.length);
        tell('message', { data: message });
      },
      hello() {
        const hello = JSON.parse(data) as Hello;
        expect(SILENCE * hello.heartbeat, 'a heartbeat');
        const isNew = !token;
        token = hello.token;
        queue.open(hello);
        queue.confirm(hello.received);
        opened(isNew);
      },
      ping() {
        const { sent, received } = JSON.parse(data) as Ping;
        queue.confirm(received);
        if (sent !== queue.received()) cut('the counts of messages differ');
      },
      close() {
        farewell = leave(JSON.parse(data) as Close);
      },
      control() {
        if (data === CONTROL_CLOSE) end({ code: CloseCode.normal, reason: '' }, true);
      },
    };
    events[type]?.();
  }

  function openBase(): void {
    const isNew = !isBase;
    isBase = true;
    expect(Infinity, '');
    queue.open('base');
    opened(isNew);
  }

  function opened(isNew: boolean): void {
    isConnected = true;
    if (readyState === CONNECTING) readyState = OPEN;
    tell(isNew ? 'open' : 'reconnect');
  }

  // --- The end -------------------------------------------------------------------------------------

  /** Sends what is left, and the end; by the answer both sides know what was taken. */
  function drain(close: Close): Promise<void> {
    return sleep(DRAIN_TIMEOUT, (wakeUp) => void queue.close(close).then(wakeUp));
  }

  /** The server ends the session. Settles with the milliseconds until the next. */
  async function leave({ retry, ...close }: Close): Promise<number> {
    if (retry === undefined) readyState = CLOSING;
    await drain(close);
    if (retry === undefined) end(close, true);
    else reset(close);
    return Math.random() * (retry ?? 0);
  }

  /** The server takes no more of this session. */
  function refused(status: number, { message, close }: Partial<Fault>): void {
    const reason = message ?? `HTTP ${status}`;
    if (close) return end(close, true);
    if (status === 404 && token) return reset({ code: CloseCode.abnormal, reason });
    tell('error', { message: reason });
    end({ code: status === 413 ? CloseCode.tooLarge : CloseCode.abnormal, reason }, false);
  }

  function reset(close: Close): void {
    if (!renew || readyState > OPEN) return end(close, false);
    const undelivered = queue.undelivered();
    queue.stop();
    queue = newQueue();
    token = undefined;
    isConnected = false;
    readyState = CONNECTING;
    farewell ??= Promise.resolve(0);
    cut('');
    tell('reset', { undelivered, reason: close.reason });
  }

  function end({ code, reason }: Close, wasClean: boolean): void {
    if (readyState === CLOSED) return;
    readyState = CLOSED;
    const undelivered = queue.undelivered();
    queue.stop();
    page.abort();
    cut('');
    wake();
    tell('close', { code, reason, wasClean, undelivered });
  }

  // --- Liveness ------------------------------------------------------------------------------------

  function expect(milliseconds: number, what: string): void {
    heardAt = performance.now();
    patience = milliseconds;
    awaited = what;
  }

  /** Cuts a stream that was silent for too long. */
  function watch(): void {
    if (pushback) heardAt = performance.now(); // it is we who do not read
    if (performance.now() - heardAt > patience) cut(`waited ${patience} ms for ${awaited}`);
  }

  /** Says goodbye as the page goes, and comes back with it from the back/forward cache. */
  function watchPage(): void {
    const listen = (type: string, listener: (event: PageTransitionEvent) => void) =>
      globalThis.addEventListener?.(type, listener as EventListener, { signal: page.signal });
    const comeBack = () => {
      isHidden = false;
      wake();
      watch(); // a timer does not see the time that was slept
    };
    listen('pagehide', ({ persisted }) => {
      isHidden = persisted;
      if (!persisted) return queue.goodbye({ code: CloseCode.goingAway, reason: 'page left' });
      cut('page left'); // the browser would keep it open, and nobody would read
    });
    listen('pageshow', comeBack);
    listen('visibilitychange', comeBack);
    listen('online', () => {
      comeBack();
      queue.wake();
    });
  }

  // --- Small parts ---------------------------------------------------------------------------------

  function newQueue() {
    return createPostQueue({
      post: (body, init, messageId) =>
        request(messageId === undefined ? {} : { [MESSAGE_ID]: messageId }, {
          ...init,
          method: 'POST',
          body,
        }),
      backoff,
      confirmed: () => tell('confirmed'),
      refused,
    });
  }

  function request(query: Record<string, unknown>, init: RequestInit): Promise<Response> {
    const target = new URL(url);
    for (const [name, value] of Object.entries({ [CLIENT_ID]: id, ...query })) {
      target.searchParams.set(name, String(value));
    }
    const own = typeof headers === 'function' ? headers() : headers;
    return fetch(target.href, {
      ...init,
      credentials,
      headers: { ...own, ...(init.headers as object) },
    });
  }
}
