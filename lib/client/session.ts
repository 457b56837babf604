import { CloseCode } from '../protocol/close-code';
import { parseFields, parseHello, parseJson, readClose } from '../protocol/parse';
import {
  BINARY,
  EventName,
  MISSED_INTERVALS,
  POLL,
  PROTOCOL,
  PROTOCOL_VERSION,
  YES,
  formatLastEventId,
  isCount,
} from '../protocol/wire';
import type { Close, Hello, SseErrorCode } from '../protocol/wire';
import { CLOSED, CLOSING, CONNECTING, OPEN } from './client-base';
import type { ClientSession, ReadyState, SessionHost } from './client-base';
import { MAX_DELAY } from './delay';
import { createEventStream } from './event-stream';
import { createSessionId } from './http';
import type { ErrorResponse, SendRequest } from './http';
import { decodeIncoming, encodeOutgoing, readBlob } from './message';
import { createBackoff } from './options';
import type { SseClientOptions } from './options';
import { createPostQueue } from './post-queue';
import { SendBuffer } from './send-buffer';
import type { TransportChoice } from './transport';

/** Timeout of the closing handshake, in milliseconds. */
const CLOSE_TIMEOUT = 10_000;

const NO_BINARY = 'cannot send: the server accepts only JSON';

/** Codes of the errors that a repeated request would receive again. */
const FINAL_CODES: readonly unknown[] = [
  'bad-request',
  'forbidden',
  'content-too-large',
  'unsupported-media-type',
] satisfies SseErrorCode[];

/** A session of the duplex dialect. */
export interface DuplexSession extends ClientSession {
  /** Number of messages that the server has not acknowledged. */
  readonly bufferedMessages: number;
  /** The server's `hello`, while the session is open. */
  readonly hello: Hello | undefined;
}

/** Opens one session. It may take several attempts to open, and continue over any number of streams. */
export function openSession(
  request: SendRequest,
  transport: TransportChoice,
  options: SseClientOptions,
  host: SessionHost,
  minDelay?: number,
): DuplexSession {
  const { debugKey, maxBufferedAmount, renewSession = true } = options;
  const { dispatch } = host;
  const backoff = createBackoff(options, dispatch);
  let readyState: ReadyState = CONNECTING;
  let id = '';
  /** The last `hello`, while the session is open. */
  let session: Hello | undefined;
  /** The code and reason of the close; undefined until it begins. */
  let closing: Close | undefined;
  /** If the server has lost the session: milliseconds until a new one may be opened. */
  let renewDelay: number | undefined;
  let closeTimer: ReturnType<typeof setTimeout> | undefined;

  const buffer = new SendBuffer(maxBufferedAmount);
  const queue = createPostQueue(buffer, {
    dispatch,
    session: () => session,
    closing: () => closing,
    backoff,
    request: (init) => request(id, init),
    acknowledge,
    onClosed: (close) => end(close, true),
    onError,
  });
  const stream = createEventStream({
    ...host,
    transport,
    backoff,
    isWanted: () => readyState !== CLOSED && !(closing && (session || !buffer.length)),
    request: requestStream,
    onEvent,
    onError,
    fail,
  });
  void stream.run(minDelay).then(() => {
    if (closing && !session) end(closing); // closed before it was open, and the GET has failed
  });

  return {
    get readyState() {
      return readyState;
    },
    get bufferedAmount() {
      return buffer.byteLength;
    },
    get bufferedMessages() {
      return buffer.length;
    },
    get transport() {
      return transport.current;
    },
    get hello() {
      return session;
    },
    send(message) {
      const outgoing = encodeOutgoing(message);
      if (outgoing.isBinary && session && !session.binary) throw new TypeError(NO_BINARY);
      buffer.push(outgoing, session?.maxPayload);
      if (outgoing.blob) {
        readBlob(outgoing).then(queue.flush, (error: unknown) =>
          endWithError({
            code: CloseCode.abnormal,
            reason: `cannot read a Blob: ${String(error)}`,
          }),
        );
      }
      // In a microtask, so that messages that the application sends one after the other are in one batch.
      queueMicrotask(queue.flush);
    },
    close(close) {
      readyState = CLOSING;
      // After a `close` event with `retry`, the handshake is under way, and only no new session follows it.
      if (renewDelay === undefined) closingHandshake(close);
    },
    onPage({ type, persisted }) {
      if (type !== 'pagehide') wake();
      else if (persisted) stream.abort(type, MAX_DELAY);
      else {
        closing ??= { code: CloseCode.goingAway, reason: type };
        queue.unload();
      }
    },
  };

  function wake(): void {
    stream.wake();
    queue.wake();
  }

  function requestStream(signal: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { Accept: 'text/event-stream' };
    if (session) headers['Last-Event-ID'] = formatLastEventId(session.token, queue.received());
    // A new id for each attempt to open: an earlier one whose response was lost may have opened a session.
    else id = createSessionId(debugKey);
    const parameters: [string, string][] = [
      [PROTOCOL, PROTOCOL_VERSION],
      [BINARY, YES],
    ];
    if (transport.current === 'poll') parameters.push([POLL, YES]);
    return request(id, { headers, signal }, ...parameters);
  }

  /** Until the response has begun with a valid `hello`, no other event is valid. */
  function onEvent(type: string, data: string): boolean {
    if (!session || !stream.isOpen()) return type === EventName.hello && onHello(data);
    if (type === 'message') return onMessage(session, data);
    if (type === EventName.ping) return onPing(data);
    if (type === EventName.close) return onClose(data);
    return true;
  }

  /** Returns false unless it opens a new session, or continues this one from the number that the client asked for. */
  function onHello(data: string): boolean {
    const hello = parseHello(data);
    const isValid =
      hello?.resumed === !!session &&
      (!session || hello.token === session.token) &&
      hello.sent === queue.received() &&
      acknowledge(hello.received);
    if (!isValid) return false;
    const type = session ? 'reconnect' : 'open';
    session = hello;
    readyState ||= OPEN;
    if (!hello.binary && buffer.hasBinary) {
      endWithError({ code: CloseCode.unsupportedData, reason: NO_BINARY });
      return false;
    }
    const isConnecting = stream.onOpen(MISSED_INTERVALS * hello.heartbeat);
    queue.onAck(hello); // the request of the stream has acknowledged
    if (isConnecting) queue.endBackoff(); // the server can be reached again
    queue.flush();
    if (isConnecting && !closing) dispatch(type);
    return true;
  }

  function onMessage(open: Hello, data: string): boolean {
    const message = decodeIncoming(data);
    if (message === undefined) return false;
    queue.count(open, data.length);
    dispatch('message', { data: message });
    return true;
  }

  function onPing(data: string): boolean {
    const { sent, received } = parseFields(data);
    return sent === queue.received() && acknowledge(received);
  }

  function onClose(data: string): boolean {
    const close = readClose(parseJson(data));
    if (!close) return false;
    const { retry, ...agreed } = close;
    if (retry) renewDelay = Math.random() * retry;
    else readyState = CLOSING;
    closingHandshake(agreed);
    return true;
  }

  /** Releases acknowledged messages. Returns false if `received` is not a possible number of them. */
  function acknowledge(received: unknown): boolean {
    const { first } = buffer;
    const isPossible = isCount(received) && buffer.acknowledge(received);
    if (buffer.first > first) dispatch('drain');
    return isPossible;
  }

  /** Sends what is left, then `close`. With the response, each side knows what the other has received. */
  function closingHandshake(close: Close): void {
    closing = close;
    stream.endBackoff(); // another stream may not be wanted any more
    // Before the session is open, wait only if there are messages to send, or if a GET is under way: it may have opened
    // a session on the server, which the client has to close.
    const isWaiting = session || buffer.length || stream.isRequesting();
    const timeout = isWaiting ? CLOSE_TIMEOUT : 0;
    clearTimeout(closeTimer);
    closeTimer = setTimeout(() => end(close), timeout);
    queue.flush();
  }

  function onError({ code, reason, close }: ErrorResponse): void {
    const lost = { code: CloseCode.abnormal, reason };
    if (close && code === 'session-closed') {
      closing = close;
      end(close, true);
    } else if (session && code === 'unknown-session') {
      renewDelay ??= 0;
      end(lost);
    } else if (FINAL_CODES.includes(code)) {
      dispatch('error', { message: reason });
      end(lost);
    }
  }

  /** Ends the session because of an error that would occur again. */
  function fail(close: Close): void {
    dispatch('error', { message: close.reason });
    readyState = CLOSING;
    if (session) closingHandshake(closing ?? close);
    else end(close);
  }

  function endWithError(close: Close): void {
    dispatch('error', { message: close.reason });
    end(close);
  }

  /** Ends the session with the code and reason of the close that is under way, or with `close` if there is none. */
  function end(close: Close, isAcknowledged = false): void {
    if (readyState === CLOSED) return;
    const { code, reason } = closing ?? close;
    const isLast = renewDelay === undefined || !renewSession || readyState === CLOSING;
    const unacknowledged = buffer.clear();
    const wasClean = isAcknowledged && !unacknowledged.length;
    readyState = CLOSED;
    session = undefined;
    clearTimeout(closeTimer);
    queue.stop();
    wake();
    stream.abort('');
    host.onEnd(
      { code, reason, wasClean, unacknowledged },
      isLast ? undefined : renewDelay,
      isAcknowledged,
    );
  }
}
