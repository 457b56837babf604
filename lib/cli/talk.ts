import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { SseClient } from '../client/index';
import type { SseClientOptions } from '../client/index';
import { ExitCode, formatMessage, parseLine } from './io';
import type { CommandIo } from './io';

/** How many requests may fail before the session is open. */
const MAX_ATTEMPTS = 3;

/** While at least this number of bytes is unacknowledged, no further line is read. */
const HIGH_WATER_MARK = 60_000;

/** Options of {@link talk}. */
export interface TalkOptions {
  headers: Record<string, string>;
  transport: NonNullable<SseClientOptions['transport']>;
  /** Messages to send instead of the lines of the standard input. */
  execute: string[];
  /** Seconds to stay connected after the messages of `execute` were acknowledged. Negative: until interrupted. */
  wait: number;
  /** Whether to send every line as text, even if it is JSON. */
  text: boolean;
}

/** Sends lines to a server and prints its messages. Resolves with the exit code when the session has ended. */
export async function talk(
  url: string,
  { headers, transport, execute, wait, text }: TalkOptions,
  { stdin, stdout, stderr, signal }: CommandIo,
): Promise<number> {
  const client = new SseClient(url, { headers, transport, renewSession: false });
  const status = (line: string) => void stderr.write(`${line}\n`);
  const close = () => {
    if (client.readyState < SseClient.CLOSING) client.close();
  };
  let failures = 0;
  let isAllSent = true;
  /** Whether the input has ended. The client is closed only when it is open: before that, it might never connect. */
  let hasEnded = false;
  // A program such as `head` closes the pipe when it has read enough.
  stdout.on('error', close);
  const exitCode = new Promise<number>((resolve) => {
    client.onclose = ({ code, reason, unacknowledged, wasClean }) => {
      const lost = unacknowledged.length > 0 ? `, ${unacknowledged.length} not acknowledged` : '';
      status(`closed: ${code}${reason && ` ${reason}`}${lost}`);
      resolve(wasClean && isAllSent ? ExitCode.ok : ExitCode.failed);
    };
    client.onerror = ({ message }) => {
      status(`error: ${message}`);
      if (++failures < MAX_ATTEMPTS) return;
      status(`gave up after ${MAX_ATTEMPTS} attempts`);
      close();
      resolve(ExitCode.failed); // does not wait for the closing handshake
    };
  });
  client.onopen = () => {
    failures = -Infinity;
    status(`connected (${client.transport})`);
    if (hasEnded) close();
  };
  client.ondisconnect = ({ reason }) => status(`disconnected: ${reason}`);
  client.onreconnect = () => status('reconnected');
  client.onmessage = ({ data }) =>
    void stdout.write(`${formatMessage(data, stdout.isTTY === true)}\n`);

  const send = (line: string) => {
    try {
      client.send(parseLine(line, text));
    } catch (error) {
      isAllSent = false;
      status(`not sent: ${(error as Error).message}`);
    }
  };
  const closing = new AbortController();
  void exitCode.then(() => closing.abort());
  const stopped = AbortSignal.any([signal, closing.signal]);
  signal.addEventListener('abort', close);

  if (execute.length > 0) {
    for (const line of execute) send(line);
    void whenAcknowledged(client, stopped)
      .then(() => stayConnected(wait, stopped))
      .then(close);
  } else {
    const lines = createInterface({ input: stdin });
    lines.on('line', (line) => {
      send(line);
      if (client.bufferedAmount >= HIGH_WATER_MARK) lines.pause();
    });
    client.ondrain = () => {
      if (client.bufferedAmount < HIGH_WATER_MARK) lines.resume();
    };
    lines.on('close', () => {
      hasEnded = true;
      if (client.readyState === SseClient.OPEN) close();
    });
    stopped.addEventListener('abort', () => lines.close());
  }
  return exitCode;
}

/** Resolves when the server has all messages, or when the signal is aborted. */
async function whenAcknowledged(client: SseClient, signal: AbortSignal): Promise<void> {
  const aborted = once(signal, 'abort').catch(() => {});
  while (client.bufferedAmount > 0 && !signal.aborted) {
    await Promise.race([aborted, once(client, 'drain', { signal }).catch(() => {})]);
  }
}

async function stayConnected(seconds: number, signal: AbortSignal): Promise<void> {
  const aborted = { signal };
  const end = seconds < 0 ? once(signal, 'abort') : sleep(seconds * 1000, undefined, aborted);
  await end.catch(() => {}); // interrupted
}
