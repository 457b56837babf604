import { parseFields } from '../protocol/parse';
import type { Close, Hello } from '../protocol/wire';
import { createDelay } from './delay';
import type { Dispatch } from './events';
import { describeError, readErrorResponse } from './http';
import type { ClientRequestInit, ErrorResponse } from './http';
import type { SendBuffer } from './send-buffer';

/** Heartbeat intervals until a POST without a response is given up. The server holds one for 1. */
const POST_TIMEOUT_HEARTBEATS = 1.5;

/**
 * Largest batch of the last request of a page, in bytes. Fetch allows 64 KiB for the bodies of all
 * `keepalive` requests that are under way [Fetch, HTTP-network-or-cache fetch].
 */
const KEEPALIVE_LIMIT = 60_000;

/** Factor by which a batch that the server did not receive in time may be larger the next time. */
const BATCH_GROWTH = 1.1;

/** A POST that has brought no progress. */
interface Failure {
  /** How many milliseconds to wait before the next one at least. */
  minDelay: number;
  /** What failed, and what can be done about it. */
  reason?: string;
  /** Whether it is ordinary if it happens once: a proxy closes a connection that is about to be used. */
  isOrdinary?: boolean;
}

/** What a POST queue asks and tells its session. */
export interface PostQueueHandler {
  dispatch: Dispatch;
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
  /** Largest batch that the path to the server seems to carry, in characters. */
  let batchLimit = Infinity;
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

  /** Whether nothing is to be sent before the close. */
  function isClosable(): boolean {
    return closing !== undefined && !buffer.length;
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
    for (let open; (open = session()) && (buffer.isReady || isClosable() || ackDebt >= 1);) {
      const failure = await post(open);
      if (!failure) {
        attempt = 0;
      } else if (session()) {
        const { minDelay, reason, isOrdinary } = failure;
        if (reason && (attempt || !isOrdinary)) {
          handler.dispatch('error', { message: `cannot send: ${reason}` });
        }
        await delay.wait(Math.max(minDelay, handler.backoff(attempt++)));
      }
    }
    isSending = false;
  }

  /** Sends one batch. Returns undefined if there was progress. */
  async function post(open: Hello): Promise<Failure | undefined> {
    const { first } = buffer;
    const maxBytes = isUnloading ? KEEPALIVE_LIMIT : Math.min(open.maxPayload, batchLimit);
    const batch = buffer.batch(maxBytes);
    const messages = batch.map(({ json }) => json).join();
    const binary = batch.flatMap(({ isBinary }, index) => (isBinary ? index : [])).join();
    const binaryField = binary && `,"binary":[${binary}]`;
    const close = batch.length === buffer.length ? closing : undefined;
    const closeField = close ? `,"close":${JSON.stringify(close)}` : '';
    onAck(open);
    const timeout = Math.ceil(open.heartbeat * POST_TIMEOUT_HEARTBEATS);
    const signal = AbortSignal.timeout(timeout);
    const body =
      `{"token":"${open.token}","id":${first},"ack":${received},` +
      `"messages":[${messages}]${binaryField}${closeField}}`;
    let response;
    let text;
    try {
      response = await handler.request({ method: 'POST', body, signal, keepalive: isUnloading });
      text = await response.text();
    } catch (error) {
      if (!signal.aborted) return { minDelay: 0, reason: describeError(error), isOrdinary: true };
      batchLimit = messages.length / 2;
      return {
        minDelay: 0,
        reason: `no response in ${timeout} ms: slow uplink or 6 streams open on HTTP/1.1`,
      };
    }
    if (!session()) return { minDelay: 0 }; // it has ended meanwhile
    const { status } = response;
    const { received: acknowledged, closed } = parseFields(text);
    if (status !== 200 || !handler.acknowledge(acknowledged) || (close && !closed)) {
      const error = readErrorResponse(response, text);
      const isTooLarge = [408, 413].includes(status);
      if (isTooLarge) batchLimit = messages.length / 2;
      if (!isTooLarge || batch.length < 2) handler.onError(error);
      return { minDelay: error.retryAfter, reason: error.reason };
    }
    batchLimit *= BATCH_GROWTH;
    if (close) handler.onClosed(close);
    // Without progress, the batch would be repeated at once, again and again.
    return batch.length && buffer.first === first ? { minDelay: 0 } : undefined;
  }
}
