import { parseFields } from '../protocol/parse';
import { utf8Length } from '../protocol/utf8';
import type { Close, Hello } from '../protocol/wire';
import { createDelay } from './delay';
import type { Dispatch } from './events';
import { describeError, readErrorResponse } from './http';
import type { ClientRequestInit, ErrorResponse } from './http';
import type { SendBuffer } from './send-buffer';

/** Timeout of a POST, in heartbeat intervals. The server may delay a response by one interval. */
const POST_TIMEOUT_HEARTBEATS = 1.5;

/**
 * Largest batch of the last request of a page, in bytes. Fetch allows 64 KiB for the bodies of all
 * `keepalive` requests that are under way [Fetch, HTTP-network-or-cache fetch].
 */
const KEEPALIVE_LIMIT = 60_000;

/** Factor by which the limit for batches grows with each success. */
const BATCH_GROWTH = 1.1;

/** Bytes by which the limit grows in addition, so that it recovers quickly if it has become small. */
const MIN_BATCH_GROWTH = 1_000;

/** Why a POST has brought no progress. */
interface Failure {
  /** Minimum delay before the next POST, in milliseconds. */
  minDelay: number;
  /** What failed, and what can be done about it. */
  reason?: string;
  /** Whether it is reported only if it is repeated: a proxy may close an idle connection just as it is used. */
  isOrdinary?: boolean;
}

/** What a POST queue needs of its session. */
export interface PostQueueHandler {
  dispatch: Dispatch;
  /** The session, while it is open. */
  session: () => Hello | undefined;
  /** The code and reason of the close, once it has begun. They follow what is left, with the last batch. */
  closing: () => Close | undefined;
  /** Sends a POST. Rejects if the network fails. */
  request(init: ClientRequestInit): Promise<Response>;
  /** See `SseClientOptions`. */
  backoff(attempt: number): number;
  /** Handles the number of messages that the server has received. Returns false if it is not possible. */
  acknowledge(received: unknown): boolean;
  /** Called when the server has acknowledged the close. */
  onClosed(close: Close): void;
  /** Handles an error response. */
  onError(error: ErrorResponse): void;
}

/**
 * Sends the messages of a session in order, and repeats each until it is acknowledged. Acknowledges the
 * server's messages.
 *
 * One POST is under way at a time. Messages that are sent meanwhile form the next batch. So a busy client
 * sends few requests, and no message overtakes another.
 */
export function createPostQueue(buffer: SendBuffer, handler: PostQueueHandler) {
  const { session, closing } = handler;
  const delay = createDelay();
  let isSending = false;
  /** Whether the page is being left, so that the next request is the last. */
  let isUnloading = false;
  /** Number of messages received from the server. */
  let received = 0;
  /** How much of the limits in `ackAfter` is used up. An acknowledgement is due at 1: PROTOCOL.md, Acknowledgements. */
  let ackDebt = 0;
  /** Limit for batches besides `maxPayload`, in bytes: half of the last one that was too large or slow, and growing. */
  let batchLimit = Infinity;
  let idleTimer: ReturnType<typeof setTimeout> | undefined;

  return {
    /** Number of messages received from the server. */
    received: () => received,
    flush,
    onAck,

    /** Counts a received message. */
    count({ ackAfter }: Hello, characters: number): void {
      received++;
      owe(1 / ackAfter.messages + characters / ackAfter.bytes);
    },

    /** Called when the page is being left: sends one `keepalive` request, even if another POST is under way. */
    unload(): void {
      isUnloading = true;
      isSending = false;
      flush();
    },

    /** Ends the wait before the next attempt. */
    wake: delay.end,

    /** Ends that wait as soon as `Retry-After` allows. */
    endBackoff: delay.endBackoff,

    /** Stops the idle timer: the session has ended. */
    stop: () => clearTimeout(idleTimer),
  };

  /** Starts to send, unless a POST is under way. */
  function flush(): void {
    if (!isSending) void send();
  }

  /** Whether only the close remains to be sent. */
  function isClosable(): boolean {
    return closing() !== undefined && !buffer.length;
  }

  function owe(part: number): void {
    ackDebt += part;
    if (ackDebt >= 1) flush();
  }

  /** Called for each request that acknowledges. The next one is due after `ackAfter.idle` at the latest. */
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
        await delay.wait(handler.backoff(attempt++), minDelay);
      }
    }
    isSending = false;
  }

  /** Sends one batch. Returns undefined if there was progress. */
  async function post(open: Hello): Promise<Failure | undefined> {
    const { first } = buffer;
    const maxBytes = Math.min(open.maxPayload, isUnloading ? KEEPALIVE_LIMIT : batchLimit);
    const batch = buffer.batch(maxBytes);
    const messages = batch.map(({ json }) => json).join();
    const binary = batch.flatMap(({ isBinary }, index) => (isBinary ? index : [])).join();
    const binaryField = binary && `,"binary":[${binary}]`;
    const close = batch.length === buffer.length ? closing() : undefined;
    const closeField = close ? `,"close":${JSON.stringify(close)}` : '';
    onAck(open);
    const timeout = Math.ceil(open.heartbeat * POST_TIMEOUT_HEARTBEATS);
    const signal = AbortSignal.timeout(timeout);
    const body =
      `{"token":"${open.token}","id":${first},"ack":${received},` +
      `"messages":[${messages}]${binaryField}${closeField}}`;
    /** Makes the next batches smaller. Returns false if this one cannot be divided. */
    const halve = () => {
      if (batch.length < 2) return false;
      batchLimit = utf8Length(messages + binaryField) / 2;
      return true;
    };
    let response;
    let text;
    try {
      response = await handler.request({ method: 'POST', body, signal, keepalive: isUnloading });
      text = await response.text();
    } catch (error) {
      if (!signal.aborted) return { minDelay: 0, reason: describeError(error), isOrdinary: true };
      halve();
      return {
        minDelay: 0,
        reason: `no response in ${timeout} ms: slow uplink or 6 streams open on HTTP/1.1`,
      };
    }
    if (!session()) return { minDelay: 0 }; // the session has ended meanwhile
    const { status } = response;
    const { received: acknowledged, closed } = parseFields(text);
    if (status !== 200 || !handler.acknowledge(acknowledged) || (close && !closed)) {
      const error = readErrorResponse(response, text);
      if (![408, 413].includes(status) || !halve()) handler.onError(error);
      return { minDelay: error.retryAfter, reason: error.reason };
    }
    batchLimit = batchLimit * BATCH_GROWTH + MIN_BATCH_GROWTH;
    if (close) handler.onClosed(close);
    // If no message was acknowledged, back off before the batch is repeated.
    return batch.length && buffer.first === first ? { minDelay: 0 } : undefined;
  }
}
