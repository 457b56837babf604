import { Outbox } from '../protocol/outbox';
import type { Outgoing } from '../protocol/outbox';
import type { Close, Fault, Hello, Receipt } from '../protocol/wire';
import { isPassing, retryAfter } from './response';
import { sleep } from './sleep';

/** Milliseconds until a POST without an answer is taken for lost. The server holds one for 10 s. */
const POST_TIMEOUT = 20_000;
/** Bytes that browsers let a page send after it was left: 64 KiB, less what goes round it. */
const KEEPALIVE_LIMIT = 60_000;

/** Whom a queue works for. */
export interface PostQueueOwner {
  /** Makes a request. `messageId` is the base dialect's. */
  post(body: string, init: RequestInit, messageId?: number): Promise<Response>;
  /** Milliseconds to wait after a failed attempt, counted from 0. */
  backoff(attempt: number): number;
  /** Messages may have been confirmed. */
  confirmed(): void;
  /** The server will not take the session's POSTs. Status 0: the network failed a base session. */
  refused(status: number, fault: Partial<Fault>): void;
}

interface Json extends Outgoing {
  readonly json: string;
}

/**
 * One session's messages up, each until the server has it.
 *
 * One POST at a time: what is sent while it is under way makes the next batch, so that a busy client
 * costs the server few requests, and nothing overtakes anything.
 */
export function createPostQueue(owner: PostQueueOwner) {
  const outbox = new Outbox<Json>();
  /** `base`: a server that speaks only that dialect. Undefined: not open yet, or over. */
  let session: Hello | 'base' | undefined;
  let isSending = false;
  /** Gives up the attempt, or ends the wait, that is under way: the next begins. */
  let wake = () => {};
  let idleTimer: ReturnType<typeof setTimeout> | undefined;

  /** Messages received, and of them those not acknowledged. */
  let received = 0;
  let unacked = 0;
  let unackedBytes = 0;
  /** An acknowledgement is due, also without messages. */
  let owesAck = false;

  let closing: Close | undefined;
  /** Whether the last POST carried it. */
  let saidEnd = false;
  let closed = () => {};

  return {
    /** Bytes not confirmed. */
    byteLength: () => outbox.byteLength,
    /** Messages not confirmed. */
    undelivered: () =>
      outbox.slice(outbox.first, outbox.next).map(({ json }) => JSON.parse(json) as unknown),
    /** Messages received. */
    received: () => received,

    /** @throws RangeError for a message that the server would not take. */
    push(json: string): void {
      const { byteLength } = new TextEncoder().encode(json);
      const { maxPayload } = (session ?? {}) as Partial<Hello>;
      if (byteLength > (maxPayload ?? Infinity)) {
        throw new RangeError(`${byteLength} bytes are over maxPayload, ${maxPayload}`);
      }
      outbox.push({ json, byteLength });
      // What is sent in one go makes one batch.
      queueMicrotask(send);
    },

    /** The session is open, or its stream is back: what was under way is tried anew. */
    open(opened: Hello | 'base'): void {
      session = opened;
      wake();
      void send();
    },

    /** Tries now what waits for its next attempt. */
    wake: () => wake(),
    confirm,

    /** A message of so many bytes was received. */
    take(bytes: number): void {
      received++;
      unacked++;
      unackedBytes += bytes;
      const { ackAfter } = session as Partial<Hello>;
      if (ackAfter && (unacked >= ackAfter.messages || unackedBytes >= ackAfter.bytes))
        acknowledge();
    },

    /** Sends what is left, then the end. Settles when the server has it. */
    close(close: Close): Promise<void> {
      closing = close;
      return new Promise((resolve) => {
        closed = () => {
          session = undefined;
          resolve();
        };
        if (session === 'base' && !outbox.byteLength) closed(); // it is told no end
        void send();
      });
    },

    /** As the page goes: what fits one last request, and the end. */
    goodbye(close: Close): void {
      closing = close;
      if (typeof session === 'object') {
        owner.post(envelope(session, KEEPALIVE_LIMIT), { keepalive: true }).catch(() => {});
      }
    },

    /** The session is over: nothing more is sent of it. */
    stop(): void {
      session = undefined;
      clearTimeout(idleTimer);
      wake();
    },
  };

  function confirm(count: number): void {
    outbox.confirm(count);
    owner.confirmed();
  }

  function acknowledge(): void {
    owesAck = true;
    void send();
  }

  /**
   * Sends until nothing is left. A message sent twice is taken once; but a base server would deliver
   * it twice, so there each is sent once, and a failure ends the session [dart].
   */
  async function send(): Promise<void> {
    if (isSending) return;
    isSending = true;
    for (let attempt = 0; session && (outbox.byteLength || owesAck || closing);) {
      const controller = new AbortController();
      wake = () => controller.abort();
      const timer = setTimeout(wake, POST_TIMEOUT);
      const init = { signal: controller.signal };
      const { first } = outbox;
      const isBase = session === 'base';
      let wait = owner.backoff(attempt++);
      try {
        const response = await (session === 'base'
          ? owner.post(outbox.get(first).json, init, first)
          : owner.post(envelope(session, session.maxPayload), init));
        const answer = (isBase ? { received: first + 1 } : await response.json()) as Receipt &
          Fault;
        if (!session) break;
        if (response.ok) {
          confirm(answer.received);
          if (saidEnd || (isBase && closing && !outbox.byteLength)) closed();
          attempt = wait = 0;
        } else if (isBase || !isPassing(response)) {
          owner.refused(response.status, answer);
        }
        wait = Math.max(wait, retryAfter(response));
      } catch {
        // The network's fault, or an answer that is not the server's.
        if (isBase && session) owner.refused(0, {});
        if (controller.signal.aborted) wait = 0;
      }
      clearTimeout(timer);
      if (session && wait) await sleep(wait, (wakeUp) => (wake = wakeUp));
    }
    isSending = false;
  }

  /** What is not confirmed yet, as much as `limit` bytes hold, and the end, when that is all. */
  function envelope({ token, ackAfter }: Hello, limit: number): string {
    unacked = unackedBytes = 0;
    owesAck = false;
    clearTimeout(idleTimer);
    idleTimer = setTimeout(acknowledge, ackAfter.idle);

    const { first, next } = outbox;
    const messages: string[] = [];
    for (let size = 0; first + messages.length < next;) {
      const { json, byteLength } = outbox.get(first + messages.length);
      size += byteLength + 1; // a comma
      if (size > limit + 1 && messages.length) break;
      messages.push(json); // JSON already
    }
    saidEnd = !!closing && first + messages.length === next;
    const head = { token, id: first, ack: received, close: saidEnd ? closing : undefined };
    return `${JSON.stringify(head).slice(0, -1)},"messages":[${messages}]}`;
  }
}
