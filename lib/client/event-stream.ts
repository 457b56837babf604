import { createEventStreamDecoder } from '../protocol/event-stream';
import { CloseCode } from '../protocol/close-code';
import type { Close } from '../protocol/wire';
import { createDelay } from './delay';
import type { Dispatch } from './events';
import { describeError, readErrorResponse } from './http';
import type { ErrorResponse } from './http';
import type { ResponseProgress, TransportChoice } from './transport';

/** Longest event, in UTF-16 code units: more than a server buffers for one client by default. */
const MAX_EVENT_LENGTH = 30_000_000;

/** Milliseconds that a stream must have been open so that its loss resets the back-off. */
const STABLE_AFTER = 1_000;

const RESPONSE_ENDED = 'response ended';
const NO_WEB_STREAM = 'the body of a response is not a ReadableStream: change the option "fetch"';

/** What an event stream needs of its session. Only `request` may throw or reject, if the network fails. */
export interface EventStreamHandler {
  dispatch: Dispatch;
  transport: TransportChoice;
  /** Whether another GET may be sent. */
  isWanted: () => boolean;
  /** Sends a GET. */
  request(signal: AbortSignal): Promise<Response>;
  /** Handles an event. Returns false if it is invalid; the response is then aborted. */
  onEvent(type: string, data: string): boolean;
  /** Handles an error response. */
  onError(error: ErrorResponse): void;
  /** Ends the session because of an error that would occur again. */
  fail(close: Close): void;
  /** See `SessionHost`. */
  backpressure(): Promise<void> | undefined;
  /** See `SseClientOptions`. */
  backoff(attempt: number): number;
}

/**
 * Receives the events of a session: sends a GET, checks the response, reads it to its end, and repeats
 * that with back-off.
 */
export function createEventStream(handler: EventStreamHandler) {
  const { dispatch, isWanted, transport } = handler;
  const delay = createDelay();
  /** Whether a stream is open, or one poll follows another. */
  let isConnected = false;
  let openedAt = 0;
  /** Whether a GET is under way. */
  let isRequesting = false;
  /** Describes the current response, or the last one. */
  let progress = newProgress();
  let maxSilence = 0;
  let controller = new AbortController();
  let abortReason = '';
  /** The shortest wait before the next GET, in milliseconds. */
  let minDelay = 0;
  let watchdog: ReturnType<typeof setTimeout> | undefined;
  let rearmWatchdog = () => {};

  return {
    isOpen: () => progress.isOpen,
    isRequesting: () => isRequesting,
    run,
    onOpen,
    abort,
    wake,
    endBackoff: delay.endBackoff,
  };

  /**
   * Sends GETs, as long as they are wanted.
   *
   * @param firstDelay if given, a session was lost: the first GET waits for this number of milliseconds, or for the
   * back-off if that is longer.
   */
  async function run(firstDelay?: number): Promise<void> {
    let attempt = firstDelay === undefined ? 0 : transport.losses++;
    // Without a delay, the first GET follows in a microtask: a client that is closed before that sends none.
    await (firstDelay === undefined || wait(firstDelay));
    while (isWanted()) {
      const isPoll = transport.current === 'poll';
      const startedAt = performance.now();
      progress = newProgress();
      const reason = await read();
      if (!isWanted()) return;
      if (transport.onEnd(progress)) continue;
      if (isPoll && progress.hasEvents && reason === RESPONSE_ENDED) {
        // A poll that ends early, with nothing but a ping, may come from a cache: back off.
        if (progress.hasNews || isStable(startedAt)) attempt = transport.losses = 0;
        else await wait(0);
        continue;
      }
      if (isConnected) {
        isConnected = false;
        const hasLasted = isStable(openedAt);
        if (hasLasted || progress.hasEvents) attempt = transport.losses = 0;
        dispatch('disconnect', { reason });
        // Timers of a hidden page run once a minute, which may be too late to resume the session.
        if (hasLasted && !minDelay && isHidden()) continue;
      } else {
        dispatch('error', { message: reason });
      }
      await wait(minDelay);
    }

    function wait(milliseconds: number): Promise<void> {
      return delay.wait(handler.backoff(attempt++), milliseconds);
    }
  }

  /**
   * Called when the response has begun with a valid first event. From now on, the response is aborted when
   * no byte arrives for this number of milliseconds. Returns whether the client was not connected before.
   */
  function onOpen(milliseconds: number): boolean {
    const wasConnected = isConnected;
    isConnected = true;
    progress.isOpen = true;
    progress.hasNews = !wasConnected;
    openedAt = performance.now();
    maxSilence = milliseconds;
    armWatchdog(milliseconds, 'dead or buffered by a proxy');
    return !wasConnected;
  }

  /** Aborts the current response. The next GET follows after this number of milliseconds, or later. */
  function abort(reason: string, milliseconds = 0): void {
    abortReason ||= reason;
    minDelay = milliseconds;
    if (isConnected && (isStable(openedAt) || progress.hasEvents)) transport.losses = 0;
    controller.abort();
  }

  /** Ends the wait before the next GET, also one that has not begun because a response is still being read. */
  function wake(): void {
    minDelay = 0;
    delay.end();
  }

  /** Sends one GET, and reads its response to the end. Returns why it ended. */
  async function read(): Promise<string> {
    controller = new AbortController();
    const { signal } = controller;
    abortReason = '';
    minDelay = 0;
    const timeout = transport.timeout(maxSilence);
    armWatchdog(timeout, 'buffered by a proxy or 6 streams open on HTTP/1.1');
    isRequesting = true;
    try {
      const response = await handler.request(signal);
      const { body } = response;
      if (!body || !isEventStream(response)) {
        const error = readErrorResponse(response, await response.text());
        minDelay = error.retryAfter;
        handler.onError(error);
        return error.reason;
      }
      if (!('getReader' in body)) {
        handler.fail({ code: CloseCode.abnormal, reason: NO_WEB_STREAM });
        return NO_WEB_STREAM;
      }
      const decode = createEventStreamDecoder((name, data) => {
        if (signal.aborted) return;
        progress.hasEvents = progress.isOpen;
        progress.hasNews ||= progress.isOpen && name === 'message';
        if (handler.onEvent(name, data)) return;
        abort(`invalid ${name}: messages lost, or answered by a cache`);
      }, MAX_EVENT_LENGTH);
      const utf8 = new TextDecoder();
      const reader = body.getReader();
      for (let chunk; !(chunk = await reader.read()).done;) {
        if (!decode(utf8.decode(chunk.value, { stream: true }))) {
          const reason = `an event exceeds ${MAX_EVENT_LENGTH} characters`;
          if (progress.isOpen) handler.fail({ code: CloseCode.messageTooBig, reason });
          return reason;
        }
        signal.throwIfAborted(); // in Node 20, the next read might never settle
        clearTimeout(watchdog); // a slow reader does not make the connection dead
        await handler.backpressure();
        rearmWatchdog();
      }
      return RESPONSE_ENDED;
    } catch (error) {
      return abortReason || describeError(error);
    } finally {
      isRequesting = false;
      clearTimeout(watchdog);
      controller.abort(); // closes the connection, also after a response that was not read
    }
  }

  /** Aborts the response when no byte arrives for this number of milliseconds. `cause` is the likely cause. */
  function armWatchdog(milliseconds: number, cause: string): void {
    rearmWatchdog = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => {
        progress.isTimedOut = true;
        abort(`no event in ${milliseconds} ms: ${cause}`);
      }, milliseconds);
    };
    rearmWatchdog();
  }
}

function newProgress(): ResponseProgress {
  return { isOpen: false, hasEvents: false, hasNews: false, isTimedOut: false };
}

/** Whether a stream that began at this time has lasted long enough. */
function isStable(startedAt: number): boolean {
  return performance.now() - startedAt >= STABLE_AFTER;
}

/** Whether this is a hidden page. */
function isHidden(): boolean {
  return 'document' in globalThis && document.hidden;
}

/** Whether a response is an event stream, and not a login page, for example. */
export function isEventStream({ status, headers }: Response): boolean {
  return status === 200 && /^text\/event-stream\b/i.test(headers.get('Content-Type') ?? '');
}
