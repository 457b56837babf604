import { MESSAGE_ID } from '../protocol/wire';
import type { Close, ErrorBody, Hello, PostResponse } from '../protocol/wire';
import { SendBuffer } from './send-buffer';
import type { Outgoing } from './send-buffer';
import { retryAfter, sleep } from './delay';

/** Heartbeats until a POST without an answer is taken for lost. The server holds one for one. */
const POST_TIMEOUT = 1.5;
/** Bytes that browsers let a page send after it was left: 64 KiB, less what goes round it. */
const KEEPALIVE_LIMIT = 60_000;

/** What is to be known of a session. A base server says nothing: its token is empty. */
export type PostSession = Omit<Hello, 'resumed' | 'sent'>;

interface Json extends Outgoing {
  readonly json: string;
}

/**
 * One session's messages up, each until the server has it.
 *
 * One POST at a time: what is sent while it is under way makes the next batch, so that a busy client
 * costs the server few requests, and nothing overtakes anything.
 *
 * @param request posts `init.body`; `query` is what the URL has beside the session's name.
 * @param backoff says how many milliseconds to wait after a failed attempt, counted from 0.
 * @param confirmed is told when messages may have been confirmed.
 * @param refused is told of the server's refusals, and ends the session where one is final. Status 0:
 * the network failed a base session.
 */
export function createPostQueue(
  request: (query: string, init: RequestInit) => Promise<Response>,
  backoff: (attempt: number) => number,
  confirmed: () => void,
  refused: (status: number, fault: Partial<ErrorBody>) => void,
) {
  /** Messages not confirmed. */
  const outbox = new SendBuffer<Json>();
  const { items } = outbox;
  /** Undefined: not open yet, or over. */
  let session: PostSession | undefined;
  let isSending = false;
  /** Ends the wait for the next attempt. */
  let wake = () => {};
  let idleTimer: ReturnType<typeof setTimeout> | undefined;

  /** Messages received. */
  let received = 0;
  /** How much of what may stay unacknowledged is: 1 is all. */
  let unacked = 0;

  let closing: Close | undefined;
  /** The page goes: the browser alone will see to the rest. */
  let keepalive = false;
  /** Whether the last POST carried it. */
  let saidEnd = false;
  let whenClosed = () => {};

  return {
    outbox,
    /** Messages received. */
    received: () => received,

    /** @throws RangeError for a message that the server would not take. */
    push(json: string): void {
      const { byteLength } = new TextEncoder().encode(json);
      // Undefined before the session is open: then the server is to judge.
      const maxPayload = session?.maxPayload as number;
      if (byteLength > maxPayload) {
        throw new RangeError(`${byteLength} bytes > maxPayload ${maxPayload}`);
      }
      outbox.push({ json, byteLength });
      // What is sent in one go makes one batch.
      queueMicrotask(() => void send());
    },

    /** The session is open, or its stream is back. */
    open(opened: PostSession): void {
      session = opened;
      acknowledged(opened); // by the stream's own request
      wake();
      void send();
    },

    /** Tries now what waits for its next attempt. */
    wake: () => wake(),
    confirm,

    /** A message of so many bytes was received. */
    take(bytes: number): void {
      received++;
      const { messages, bytes: limit } = (session as PostSession).ackAfter;
      unacked += 1 / messages + bytes / limit;
      if (unacked >= 1) void send();
    },

    /**
     * Sends what is left, then the end.
     *
     * @param onClosed is told that the server has it, or that nobody will.
     * @param isGoing as the page goes there is one last request, beside one that may be under way.
     */
    close(close: Close, onClosed: () => void, isGoing = false): void {
      closing = close;
      whenClosed = onClosed;
      keepalive = isGoing;
      isSending &&= !isGoing;
      void send();
    },

    /** The session is over: nothing more is sent of it. */
    stop(): void {
      session = undefined;
      clearTimeout(idleTimer);
      wake();
      whenClosed();
    },
  };

  function isOver(): boolean {
    return !session;
  }

  function confirm(count: number): void {
    outbox.confirm(count);
    confirmed();
  }

  /**
   * Sends until nothing is left. A message sent twice is taken once; but a base server would deliver
   * it twice, so there each is sent once, and a failure ends the session [dart].
   */
  async function send(): Promise<void> {
    if (isSending) return;
    isSending = true;
    for (let attempt = 0; session && (items.length || unacked >= 1 || closing);) {
      const current = session;
      const { token, heartbeat } = current;
      const [message] = items;
      if (!token && !message) return whenClosed(); // a base server is told no end
      let wait = backoff(attempt++);
      try {
        const response = await request(token ? '' : `&${MESSAGE_ID}=${outbox.first}`, {
          method: 'POST',
          body: token ? envelope(current) : (message as Json).json,
          signal: AbortSignal.timeout(POST_TIMEOUT * heartbeat),
          keepalive,
        });
        const answer = (token ? await response.json() : {}) as PostResponse & ErrorBody;
        if (isOver()) return;
        if (response.ok) {
          confirm(token ? answer.received : outbox.first + 1);
          if (saidEnd) return whenClosed();
          // Without progress it would be asked for ever, at once.
          if (!message || items[0] !== message) attempt = wait = 0;
        } else {
          refused(token ? response.status : 0, answer);
          wait = Math.max(wait, retryAfter(response));
        }
      } catch {
        // The network's fault, or an answer that is not the server's.
        if (!token) refused(0, {});
      }
      if (wait && !isOver()) await sleep(wait, (wakeUp) => (wake = wakeUp));
    }
    isSending = false;
  }

  /** The server knows what was received: it is to be told again after a while, as a sign of life. */
  function acknowledged({ ackAfter }: PostSession): void {
    unacked = 0;
    clearTimeout(idleTimer);
    idleTimer = setTimeout(() => {
      unacked = 1;
      void send();
    }, ackAfter.idle);
  }

  /** What is not confirmed yet, as much as one POST holds, and the end, when that is all. */
  function envelope(current: PostSession): string {
    acknowledged(current);
    const { token, maxPayload } = current;
    const limit = keepalive ? KEEPALIVE_LIMIT : maxPayload;
    let size = -1; // one comma less than messages
    // One message that is too large alone is for the server to refuse.
    const batch = items.filter(({ byteLength }, i) => (size += byteLength + 1) <= limit || !i);
    const close = batch.length === items.length ? closing : undefined;
    saidEnd = !!close;
    const messages = batch.map(({ json }) => json).join(); // JSON already
    const rest = { token, id: outbox.first, ack: received, close };
    return `{"messages":[${messages}],${JSON.stringify(rest).slice(1)}`;
  }
}
