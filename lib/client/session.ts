import { createEventStreamDecoder } from '../protocol/event-stream';
import {
  CLIENT_ID,
  CONTROL_CLOSE,
  PROTOCOL,
  PROTOCOL_HEADER,
  PROTOCOL_VERSION,
} from '../protocol/wire';
import { CloseCode } from '../protocol/close-code';
import type { Close, ErrorBody, Hello, Ping } from '../protocol/wire';
import type { SseClientOptions } from './options';
import { createPostQueue } from './post-queue';
import type { PostSession } from './post-queue';
import { retryAfter, sleep } from './delay';

/** Milliseconds until a stream that says nothing at its start is given up. */
const OPEN_TIMEOUT = 10_000;
/** Heartbeats without a byte after which a stream is dead. */
const SILENCE = 2.5;
/** Milliseconds that there are, at a session's end, to bring up what was sent before it. */
const DRAIN_TIMEOUT = 10_000;
/** In UTF-16 code units: more than a server holds for a client by default. */
const LONGEST_EVENT = 30_000_000;

/** Milliseconds that no session lives, and that timers take also when they are more than doubled. */
const NEVER = 500_000_000;

/** What a server of the base dialect would say, if it said anything: it has no bounds, nor a pulse. */
const BASE_SESSION = {
  token: '',
  heartbeat: NEVER,
  received: 0,
  ackAfter: { idle: NEVER },
} as PostSession;

export const CONNECTING = 0;
export const OPEN = 1;
export const CLOSING = 2;
export const CLOSED = 3;

/**
 * Opens a session, and the next when the server has lost it, over as many streams as it takes.
 *
 * @param tell is told what happens: an event's type and fields.
 * @param pushback makes the session wait, where it returns a promise, before it reads more.
 */
export function openSession(
  url: string,
  options: SseClientOptions,
  tell: (type: string, fields?: object) => void,
  pushback: () => Promise<void> | undefined,
) {
  const {
    fetch: fetchOption = fetch,
    headers,
    credentials,
    renewSession = true,
    debugKey = 'sse',
    backoff = (attempt) => Math.random() * Math.min(10_000, 500 * 2 ** attempt),
  } = options;
  let readyState: 0 | 1 | 2 | 3 = CONNECTING;
  let id = '';
  /** The session's proof, once it is open; empty on a server of the base dialect, which knows none. */
  let token: string | undefined;
  let queue = newQueue();

  /** Whether a stream stands. */
  let isConnected = false;
  /** Ends the GET that is under way; without a reason, as nothing to be told of. */
  let cut = (_reason: string) => {};
  /** Ends the wait before the next. */
  let wake = () => {};
  /** How many milliseconds that wait takes at least. */
  let pause = 0;
  /** Cuts the GET unless it gives a sign of life: so many milliseconds, for what. */
  let watchdog: ReturnType<typeof setTimeout>;
  let patience: number;
  let awaited: string;
  /** The end, while it is agreed on. */
  let closing: Close | undefined;
  let leaving: Promise<void> | undefined;
  /** Ends what was attached to the page. */
  const page = new AbortController();

  for (const type of ['pagehide', 'pageshow', 'online']) {
    (globalThis as Partial<typeof globalThis>).addEventListener?.(
      type,
      onPage as EventListener,
      page,
    );
  }
  void run();

  return {
    readyState: () => readyState,
    bufferedAmount: () => queue.outbox.byteLength,
    send(message: unknown): void {
      if (readyState > OPEN) throw new Error('closed');
      const json = JSON.stringify(message) as string | undefined;
      if (!json) throw new TypeError('not JSON');
      queue.push(json);
    },
    close(code: number, reason: string): void {
      if (code !== CloseCode.normal && !(code >= 3000 && code < 5000)) {
        throw new RangeError(`bad code: ${code}`);
      }
      if (readyState > OPEN) return;
      const left = leave({ code, reason });
      if (token) leaving = left; // no stream is opened any more
    },
  };

  // --- The stream ----------------------------------------------------------------------------------

  /** Opens one after the other, until the end. */
  async function run(): Promise<void> {
    for (let attempt = 0; ;) {
      pause = 0;
      const reason = await read();
      if (reason && !isConnected) tell('error', { message: reason });
      await leaving;
      if (isOver()) return;

      if (isConnected) {
        isConnected = false;
        attempt = 0;
        tell('disconnect', { reason });
      }
      await sleep(Math.max(pause, backoff(attempt++)), (wakeUp) => (wake = wakeUp));
      if (isOver()) return;
    }
  }

  /** One GET, to its end. Settles with the reason. */
  async function read(): Promise<string | undefined> {
    const controller = new AbortController();
    const { signal } = controller;
    cut = (reason) => controller.abort(reason);
    // An attempt whose answer was lost may have taken the name.
    if (token === undefined) id = `${debugKey}-${Math.random()}`;
    try {
      expect(OPEN_TIMEOUT, 'event (buffered? 6 streams open?)');
      const proof = token && { 'Last-Event-ID': `${token}.${queue.received()}` };
      const response = await request(`&${PROTOCOL}=${PROTOCOL_VERSION}`, {
        headers: { Accept: 'text/event-stream', ...proof },
        signal,
      });
      if (!response.ok) {
        pause = retryAfter(response);
        const fault = (await response.json().catch(() => ({}))) as Partial<ErrorBody>;
        return refused(response.status, fault);
      }
      if (response.headers.get(PROTOCOL_HEADER) !== PROTOCOL_VERSION) {
        opened(BASE_SESSION);
      }

      const decode = createEventStreamDecoder((type, data) => {
        if (!signal.aborted) take(type, data);
      }, LONGEST_EVENT);
      const utf8 = new TextDecoder();
      const bytes = (response.body as ReadableStream<Uint8Array>).getReader();
      for (let chunk; !(chunk = await bytes.read()).done;) {
        decode(utf8.decode(chunk.value, { stream: true }));
        signal.throwIfAborted(); // by what it read: Node 20's next read might never settle
        clearTimeout(watchdog);
        await pushback();
        expect();
      }
      return 'ended';
    } catch (error) {
      return String(signal.reason ?? error);
    } finally {
      clearTimeout(watchdog);
      controller.abort();
    }
  }

  function take(type: string, data: string): void {
    if (type === 'message') {
      queue.take(data.length);
      tell(type, { data: JSON.parse(data) as unknown });
    } else if (type === 'hello') {
      opened(JSON.parse(data) as Hello);
    } else if (type === 'ping') {
      const { sent, received } = JSON.parse(data) as Ping;
      queue.confirm(received);
      if (sent !== queue.received()) cut('miscount');
    } else if (type === 'close') {
      leaving = leave(JSON.parse(data) as Close);
    } else if (type === 'control' && data === CONTROL_CLOSE) {
      end({ code: CloseCode.normal, reason: '' }, true);
    }
  }

  function opened(hello: PostSession): void {
    const isNew = token === undefined;
    token = hello.token;
    isConnected = true;
    readyState ||= OPEN;
    expect(SILENCE * hello.heartbeat, 'heartbeat');
    queue.confirm(hello.received);
    queue.open(hello);
    tell(isNew ? 'open' : 'reconnect');
  }

  // --- The end -------------------------------------------------------------------------------------

  /** Sends what is left, and the end: by the answer both sides know what was taken. */
  async function leave({ retry, ...close }: Close): Promise<void> {
    const timeout = token || queue.outbox.byteLength ? DRAIN_TIMEOUT : 0;
    const left = queue;
    closing = close;
    if (retry) pause = Math.random() * retry;
    else readyState = CLOSING;
    const isAgreed = await sleep(timeout, (wakeUp) => left.close(close, wakeUp));
    if (left === queue) end(close, isAgreed, !!retry);
  }

  /** The server refused a request: for now, and why is returned; or it ended the session, as is told. */
  function refused(status: number, { message, close }: Partial<ErrorBody>): string | undefined {
    const reason = message ?? `HTTP ${status}`;
    if (token && !message) return reason; // not our server's: a proxy's, say, and it may pass
    const lost = closing ?? { code: CloseCode.abnormal, reason };
    if (close) {
      end(close, true);
    } else if (status === 404 && token) {
      end(lost, false, true);
    } else if (status < 500 && !/408|409|429/.test(String(status))) {
      tell('error', { message: reason });
      end(lost, false);
    } else {
      return reason;
    }
  }

  /** Ends the session, and the client too, unless there may be another. */
  function end(close: Close, isAgreed: boolean, isRenewable = false): void {
    if (isOver()) return;
    const isLast = !isRenewable || !renewSession || readyState === CLOSING;
    const unacknowledged = queue.outbox.items.map(({ json }) => JSON.parse(json) as unknown);
    readyState = isLast ? CLOSED : CONNECTING;
    token = closing = undefined;
    isConnected = false;
    queue.stop();
    queue = newQueue();
    cut('');
    wake();
    if (isLast) page.abort();
    tell('drain');
    const wasClean = isAgreed && !unacknowledged.length;
    tell(isLast ? 'close' : 'sessionlost', { ...close, wasClean, unacknowledged });
  }

  // --- Liveness ------------------------------------------------------------------------------------

  /** Cuts a stream that is silent for too long. */
  function expect(milliseconds = patience, what = awaited): void {
    clearTimeout(watchdog);
    patience = milliseconds;
    awaited = what;
    watchdog = setTimeout(() => cut(`no ${awaited} in ${patience} ms`), patience);
  }

  /** Says goodbye as the page goes, and comes back with it from the back/forward cache. */
  function onPage({ type, persisted }: PageTransitionEvent): void {
    if (type !== 'pagehide') {
      wake();
      queue.wake();
    } else if (persisted) {
      pause = NEVER; // the browser would keep the stream open, and nobody would read
      cut('pagehide');
    } else {
      queue.close({ code: CloseCode.goingAway, reason: 'pagehide' }, () => {}, true);
    }
  }

  // --- Small parts ---------------------------------------------------------------------------------

  function isOver(): boolean {
    return readyState === CLOSED;
  }

  function newQueue() {
    return createPostQueue(request, backoff, () => tell('drain'), refused);
  }

  function request(query: string, init: RequestInit): Promise<Response> {
    const target = new URL(url);
    target.searchParams.set(CLIENT_ID, id);
    return fetchOption(target.href + query, {
      ...init,
      credentials,
      headers: { ...headers, ...(init.headers as Record<string, string>) },
    });
  }
}
