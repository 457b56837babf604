import { request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { connect } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import type { Readable } from 'node:stream';
import { onTestFinished } from '../helpers/on-test-finished';
import { waitFor } from '../helpers/wait-for';

export interface Spoken {
  method?: string;
  headers?: OutgoingHttpHeaders;
  body?: string;
  /** Whether the body ends. */
  isWhole?: boolean;
  /** Aborts it. */
  signal?: AbortSignal;
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  /** What was read so far. */
  text(): string;
  /** Waits for a piece of text; rejects when the answer ends without it. */
  read(piece: string): Promise<void>;
  /** All of it. */
  readAll(): Promise<string>;
  /** Settles when the request is over as well. */
  closed: Promise<void>;
  /** Reads on or not, so that the server's writes wait. */
  pause(): void;
  resume(): void;
  /** Aborts it. */
  cut(): void;
}

/** One request to a server. */
export type Speak = (path: string, spoken?: Spoken) => Promise<Answer>;

export function speakHttp1(origin: string, ca: string): Speak {
  return (path, { method = 'GET', headers, body, isWhole = true, signal } = {}) =>
    new Promise((resolve, reject) => {
      const options = { method, headers, signal, agent: false } as const;
      const sent = origin.startsWith('https:')
        ? httpsRequest(origin + path, { ...options, ca })
        : httpRequest(origin + path, options);
      onTestFinished(() => sent.destroy());
      sent.on('error', reject).on('response', (response: IncomingMessage) => {
        resolve(readAnswer(response.statusCode!, response.headers, response));
      });
      if (isWhole) sent.end(body);
      else sent.write(body);
    });
}

/** All requests go over one connection. */
export function speakHttp2(origin: string, ca: string): Speak {
  const session = connect(origin, { ca });
  onTestFinished(() => session.destroy());
  return (path, { method = 'GET', headers, body, isWhole = true, signal } = {}) =>
    new Promise((resolve, reject) => {
      const head = { ':method': method, ':path': path, ...headers };
      const stream = session.request(head, { signal });
      stream.on('error', reject).on('response', (answered) => {
        resolve(readAnswer(answered[':status']!, answered, stream));
      });
      if (isWhole) stream.end(body);
      else stream.write(body);
    });
}

function readAnswer(status: number, headers: IncomingHttpHeaders, body: Readable): Answer {
  let text = '';
  let isOver = false;
  body.setEncoding('utf8');
  body.on('data', (chunk: string) => (text += chunk));
  body.on('error', () => {});
  body.on('close', () => (isOver = true));
  return {
    status,
    headers,
    text: () => text,
    async read(piece) {
      await waitFor(
        () => isOver || text.includes(piece),
        5_000,
        () => JSON.stringify(piece),
      );
      if (!text.includes(piece)) throw new Error(`it ended after ${JSON.stringify(text)}`);
    },
    closed: new Promise((resolve) => body.on('close', () => resolve())),
    async readAll() {
      await waitFor(() => isOver);
      return text;
    },
    pause: () => void body.pause(),
    resume: () => void body.resume(),
    cut: () => void body.destroy(),
  };
}
