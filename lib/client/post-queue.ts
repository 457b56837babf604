import { parseFields } from '../protocol/parse';
import type { Close, Hello } from '../protocol/wire';
import { createDelay } from './delay';
import { readErrorResponse } from './http';
import type { ClientRequestInit, ErrorResponse } from './http';
import type { SendBuffer } from './send-buffer';

/** Heartbeat intervals until a POST without a response is given up. The server holds one for 1. */
const POST_TIMEOUT_HEARTBEATS = 1.5;

/**
 * Largest batch of the last request of a page, in bytes. Fetch allows 64 KiB for the bodies of all
 * `keepalive` requests that are under way [Fetch, HTTP-network-or-cache fetch].
 */
const KEEPALIVE_LIMIT = 60_000;

/** What a POST queue asks and tells its session. */
export interface PostQueueHandler {
  /** The session, while it is open. */
  session: () => Hello | undefined;
  /** Sends a POST. Rejects if the network fails. */
  request(init: ClientRequestInit): Promise<Response>;
  /** Returns how many milliseconds to wait after so many failures in a row. */
  backoff(attempt: number): number;
  /** The server says that it has received so many messages. Returns false if that is not possible. */
  acknowledge(received: unknown): boolean;
  /** The server has acknowledged the close. */
  onClosed(close: Close): void;
  /** Handles an error response. */
  onError(error: ErrorResponse): void;
}

/**
 * Sends one session's messages, in order, and each until it is acknowledged. Acknowledges the server's
 * messages.
 *
 * One POST is under way at a time. What is sent meanwhile makes up the next batch, so that a busy
 * client costs the server few requests and no message overtakes another.
 */
export function createPostQueue(buffer: SendBuffer, handler: PostQueueHandler) {
  const { session } = handler;
  const delay = createDelay();
  let isSending = false;
  let closing: Close | undefined;
  /** The page goes: the next request is its last. */
  let isUnloading = false;
  /** Number of messages received from the server. */
  let received = 0;
  /** The part of what may stay unacknowledged that is, from 0 to 1: PROTOCOL.md, Acknowledgements. */
  let ackDebt = 0;
  let idleTimer: ReturnType<typeof setTimeout> | undefined;

  return {
    /** Number of messages received from the server. */
    received: () => received,
    flush,
    onAck,

    /** Counts a message of so many characters. */
    count({ ackAfter }: Hello, characters: number): void {
      received++;
      owe(1 / ackAfter.messages + characters / ackAfter.bytes);
    },

    /**
     * Sends what is left, and `close` with the last batch.
     *
     * @param isLastRequest as the page goes: in one request that outlives it, beside one that may be
     * under way.
     */
    close(close: Close, isLastRequest = false): void {
      closing = close;
      isUnloading = isLastRequest;
      isSending &&= !isUnloading;
      flush();
    },

    /** Ends the wait before the next attempt. */
    wake: delay.end,

    /** Stops the idle timer: the session has ended. */
    stop: () => clearTimeout(idleTimer),
  };

  /** Sends what waits, unless a POST is under way. */
  function flush(): void {
    if (!isSending) void send();
  }

  function owe(part: number): void {
    ackDebt += part;
    if (ackDebt >= 1) flush();
  }

  /** A request carries an acknowledgement. The next is due after `ackAfter.idle` at the latest. */
  function onAck({ ackAfter }: Hello): void {
    ackDebt = 0;
    clearTimeout(idleTimer);
    idleTimer = setTimeout(() => owe(1), ackAfter.idle);
  }

  async function send(): Promise<void> {
    isSending = true;
    let attempt = 0;
    for (let open; (open = session()) && (buffer.length || closing || ackDebt >= 1);) {
      const minDelay = await post(open);
      if (minDelay === undefined) attempt = 0;
      else if (session()) await delay.wait(Math.max(minDelay, handler.backoff(attempt++)));
    }
    isSending = false;
  }

  /** Sends one batch. Returns the shortest wait before the next, or undefined if there was progress. */
  async function post(open: Hello): Promise<number | undefined> {
    const { first } = buffer;
    const batch = buffer.batch(isUnloading ? KEEPALIVE_LIMIT : open.maxPayload);
    const close = batch.length === buffer.length ? closing : undefined;
    const closeField = close ? `,"close":${JSON.stringify(close)}` : '';
    onAck(open);
    const init: ClientRequestInit = {
      method: 'POST',
      // The messages are JSON already.
      body:
        `{"token":"${open.token}","id":${first},"ack":${received},` +
        `"messages":[${batch.join()}]${closeField}}`,
      signal: AbortSignal.timeout(Math.ceil(open.heartbeat * POST_TIMEOUT_HEARTBEATS)),
      keepalive: isUnloading,
    };
    let response;
    let text;
    try {
      response = await handler.request(init);
      text = await response.text();
    } catch {
      return 0; // the network failed
    }
    if (!session()) return 0; // it has ended meanwhile
    if (response.status !== 200 || !handler.acknowledge(parseFields(text).received)) {
      const error = readErrorResponse(response, text);
      handler.onError(error);
      return error.retryAfter;
    }
    if (close) handler.onClosed(close);
    // Without progress, the batch would be repeated at once, again and again.
    return batch.length && buffer.first === first ? 0 : undefined;
  }
}
