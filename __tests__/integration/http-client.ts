import { request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { connect } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import type { Readable } from 'node:stream';
import { onTestFinished } from '../helpers/on-test-finished';
import { waitFor } from '../helpers/wait-for';

export interface RequestParameters {
  method?: string;
  headers?: OutgoingHttpHeaders;
  body?: string;
  /** If false, the request body stays incomplete. */
  isWhole?: boolean;
  /** Aborts the request. */
  signal?: AbortSignal;
}

export interface StreamedResponse {
  status: number;
  headers: IncomingHttpHeaders;
  /** The text received so far. */
  text(): string;
  /** Waits for a piece of text. Rejects if the response ends without it. */
  read(piece: string): Promise<void>;
  /** Waits for the end and returns the whole text. */
  readAll(): Promise<string>;
  /** Settles when the request and the response are closed. */
  closed: Promise<void>;
  /** Stops and continues reading, so that the server's writes have to wait. */
  pause(): void;
  resume(): void;
  /** Aborts the response. */
  cut(): void;
}

/** Sends one request. */
export type Send = (path: string, parameters?: RequestParameters) => Promise<StreamedResponse>;

export function connectHttp1(origin: string, ca: string): Send {
  return (path, { method = 'GET', headers, body, isWhole = true, signal } = {}) =>
    new Promise((resolve, reject) => {
      const options = { method, headers, signal, agent: false } as const;
      const sent = origin.startsWith('https:')
        ? httpsRequest(origin + path, { ...options, ca })
        : httpRequest(origin + path, options);
      onTestFinished(() => sent.destroy());
      sent.on('error', reject).on('response', (response: IncomingMessage) => {
        resolve(readResponse(response.statusCode!, response.headers, response));
      });
      if (isWhole) sent.end(body);
      else sent.write(body);
    });
}

/** Sends all requests over one connection. */
export function connectHttp2(origin: string, ca: string): Send {
  const session = connect(origin, { ca });
  onTestFinished(() => session.destroy());
  return (path, { method = 'GET', headers, body, isWhole = true, signal } = {}) =>
    new Promise((resolve, reject) => {
      const head = { ':method': method, ':path': path, ...headers };
      const stream = session.request(head, { signal });
      stream.on('error', reject).on('response', (responseHeaders) => {
        resolve(readResponse(responseHeaders[':status']!, responseHeaders, stream));
      });
      if (isWhole) stream.end(body);
      else stream.write(body);
    });
}

function readResponse(
  status: number,
  headers: IncomingHttpHeaders,
  body: Readable,
): StreamedResponse {
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
      if (!text.includes(piece))
        throw new Error(`the response ended after ${JSON.stringify(text)}`);
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
