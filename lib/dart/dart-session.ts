import { CLOSED, CLOSING, CONNECTING, OPEN } from '../client/client-base';
import type { ClientSession, ReadyState, SessionHost } from '../client/client-base';
import { MAX_DELAY } from '../client/delay';
import { createEventStream, isEventStream } from '../client/event-stream';
import { createSessionId, describeError } from '../client/http';
import type { SendRequest } from '../client/http';
import { encodeOutgoing } from '../client/message';
import { createBackoff } from '../client/options';
import type { SseClientOptions } from '../client/options';
import { SendBuffer } from '../client/send-buffer';
import { createTransport } from '../client/transport';
import { CloseCode } from '../protocol/close-code';
import { parseJson } from '../protocol/parse';
import { CONTROL_CLOSE, EventName, MESSAGE_ID } from '../protocol/wire';
import type { Close } from '../protocol/wire';

/** Timeout for sending the remaining messages when the client closes, in milliseconds. */
const DRAIN_TIMEOUT = 10_000;

/** Opens a session of the Dart dialect: see PROTOCOL.md. `[dart]` marks what `package:sse` 4.2.0 requires. */
export function openDartSession(
  request: SendRequest,
  options: SseClientOptions,
  host: SessionHost,
): ClientSession {
  const { debugKey, maxBufferedAmount } = options;
  const { dispatch } = host;
  /** The same for all streams: the server recognises the client by it [dart]. */
  const id = createSessionId(debugKey);
  const buffer = new SendBuffer(maxBufferedAmount);
  let readyState: ReadyState = CONNECTING;
  let hasOpened = false;
  let isSending = false;
  let closing: Close | undefined;
  let closeTimer: ReturnType<typeof setTimeout> | undefined;
  /** HTTP status of the GET's response. */
  let status = 0;

  const stream = createEventStream({
    ...host,
    transport: createTransport('', dispatch, 'stream'),
    backoff: createBackoff(options, dispatch),
    isWanted: () => readyState !== CLOSED,
    request: requestStream,
    onEvent,
    onError({ reason }) {
      // Other errors may be temporary: those of the server (5xx), 408 (timeout) and 429 (too many requests).
      const isFinal = status >= 400 && status < 500 && status !== 408 && status !== 429;
      if (isFinal) fail(reason);
    },
    fail: ({ code, reason }) => fail(reason, code),
  });
  void stream.run();

  return {
    get readyState() {
      return readyState;
    },
    get bufferedAmount() {
      return buffer.byteLength;
    },
    transport: 'stream',
    send(message) {
      const outgoing = encodeOutgoing(message);
      if (outgoing.isBinary) throw new TypeError('cannot send: Dart servers accept only JSON');
      buffer.push(outgoing);
      void sendAll();
    },
    close(close) {
      readyState = CLOSING;
      closing = close;
      closeTimer = setTimeout(() => end(close, !buffer.length), buffer.length ? DRAIN_TIMEOUT : 0);
    },
    onPage({ type, persisted }) {
      if (type !== 'pagehide') stream.wake();
      else if (persisted) stream.abort(type, MAX_DELAY);
    },
  };

  async function requestStream(signal: AbortSignal): Promise<Response> {
    const response = await request(id, { headers: { Accept: 'text/event-stream' }, signal });
    ({ status } = response);
    if (!signal.aborted && isEventStream(response)) onOpen();
    return response;
  }

  /** The response itself opens the stream: the server sends neither a first event nor heartbeats. */
  function onOpen(): void {
    const type = hasOpened ? 'reconnect' : 'open';
    hasOpened = true;
    if (readyState === CONNECTING) readyState = OPEN;
    stream.onOpen(MAX_DELAY);
    dispatch(type);
    void sendAll();
  }

  function onEvent(type: string, data: string): boolean {
    if (type === 'message') {
      const message = parseJson(data);
      if (message === undefined) return false;
      dispatch('message', { data: message });
    } else if (type === EventName.control && data === CONTROL_CLOSE) {
      end({ code: CloseCode.normal, reason: '' }, true);
    }
    return true;
  }

  /** Sends one message per POST and one POST at a time, numbered from 0, and no message twice [dart]. */
  async function sendAll(): Promise<void> {
    if (isSending || !hasOpened) return;
    isSending = true;
    for (;;) {
      const [message] = buffer.batch(0);
      if (message?.json === undefined || readyState === CLOSED) break;
      const number = buffer.first;
      const reason = await post(message.json, number);
      if (reason !== undefined) return fail(reason);
      if (!buffer.length) return; // the client has closed meanwhile
      buffer.acknowledge(number + 1);
      dispatch('drain');
    }
    isSending = false;
    if (closing) end(closing, true);
  }

  /** Returns why the POST failed, or undefined. */
  async function post(message: string, number: number): Promise<string | undefined> {
    try {
      const response = await request(id, { method: 'POST', body: message }, [
        MESSAGE_ID,
        String(number),
      ]);
      return response.ok ? undefined : `HTTP ${response.status} for message ${number}`;
    } catch (error) {
      return describeError(error);
    }
  }

  function fail(reason: string, code: number = CloseCode.abnormal): void {
    if (readyState === CLOSED) return;
    dispatch('error', { message: reason });
    end(closing ?? { code, reason }, false);
  }

  function end({ code, reason }: Close, isComplete: boolean): void {
    if (readyState === CLOSED) return;
    const unacknowledged = buffer.clear();
    readyState = CLOSED;
    clearTimeout(closeTimer);
    stream.wake();
    stream.abort('');
    const wasClean = isComplete && unacknowledged.length === 0;
    host.onEnd({ code, reason, wasClean, unacknowledged });
  }
}
