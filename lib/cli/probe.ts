import { request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { createEventStreamDecoder } from '../protocol/event-stream';
import {
  EventName,
  BINARY,
  CLIENT_ID,
  POLL,
  PROTOCOL,
  PROTOCOL_VERSION,
  YES,
} from '../protocol/wire';
import type { Envelope, Hello } from '../protocol/wire';
import { parseObject } from './explain';

const MAX_EVENT_LENGTH = 1_000_000; // characters
const EXCERPT_LENGTH = 2_000; // characters

/** A complete response. */
export interface PlainResponse {
  status: number;
  headers: IncomingMessage['headers'];
  /** The beginning of the body. */
  body: string;
}

/** A stream of this package's server. */
export interface OpenStream {
  headers: IncomingMessage['headers'];
  hello: Hello;
  /** Milliseconds until the first event. */
  openedAfter: number;
  /** Calls the listener for each later event, and resolves when the stream ends. */
  whenEnded(onEvent: () => void): Promise<void>;
  abort(): void;
}

/** The result of a GET. */
export type GetOutcome =
  | { type: 'stream'; stream: OpenStream }
  | { type: 'foreign-stream'; event: string }
  | { type: 'response'; response: PlainResponse }
  | { type: 'silent' };

/** Sends the requests of the doctor, each on a new connection, so that a proxy may send them to any server. */
export class Prober {
  readonly #url: URL;
  readonly #headers: Record<string, string>;

  constructor(url: URL, headers: Record<string, string>) {
    this.#url = url;
    this.#headers = headers;
  }

  /**
   * Requests a stream, or a poll. Resolves after the first event, after a response that is no stream, or after the
   * timeout. Rejects if the request fails.
   */
  async get(id: string, isPoll: boolean, timeout: number): Promise<GetOutcome> {
    const startedAt = performance.now();
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), timeout);
    try {
      const parameters = { [CLIENT_ID]: id, [PROTOCOL]: PROTOCOL_VERSION, [BINARY]: YES };
      const query = isPoll ? { ...parameters, [POLL]: YES } : parameters;
      const accept = { Accept: 'text/event-stream' };
      const response = await this.#send('GET', query, accept, undefined, controller.signal);
      const isStream = /^text\/event-stream\b/i.test(response.headers['content-type'] ?? '');
      if (response.statusCode !== 200 || !isStream) {
        return { type: 'response', response: await readResponse(response) };
      }
      return await readFirstEvent(response, startedAt, () => controller.abort());
    } catch (error) {
      if (controller.signal.aborted) return { type: 'silent' };
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Sends an envelope. Rejects if the request fails, or if there is no response before the timeout. */
  async post(id: string, envelope: Envelope, timeout: number): Promise<PlainResponse> {
    const query = { [CLIENT_ID]: id, [PROTOCOL]: PROTOCOL_VERSION };
    const headers = { 'Content-Type': 'text/plain;charset=UTF-8' };
    const signal = AbortSignal.timeout(timeout);
    const body = JSON.stringify(envelope);
    return readResponse(await this.#send('POST', query, headers, body, signal));
  }

  /** Whether the server offers HTTP/2, which browsers use only over TLS. */
  async offersHttp2(): Promise<boolean> {
    const { protocol, port } = this.#url;
    if (protocol !== 'https:') return false;
    const host = this.#url.hostname.replace(/^\[|\]$/g, ''); // an IPv6 address
    return new Promise((resolve, reject) => {
      const socket = connectTls({
        host,
        port: Number(port || 443),
        servername: isIP(host) ? '' : host,
        ALPNProtocols: ['h2', 'http/1.1'],
      });
      socket.once('error', reject);
      socket.once('secureConnect', () => {
        resolve(socket.alpnProtocol === 'h2');
        socket.destroy();
      });
    });
  }

  #send(
    method: string,
    query: Record<string, string>,
    headers: Record<string, string>,
    body: string | undefined,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const url = new URL(this.#url);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const request = url.protocol === 'https:' ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      const all = { ...this.#headers, ...headers };
      request(url, { method, headers: all, signal, agent: false })
        .once('error', reject)
        .once('response', resolve)
        .end(body);
    });
  }
}

async function readResponse(response: IncomingMessage): Promise<PlainResponse> {
  let body = '';
  response.setEncoding('utf8');
  for await (const text of response) {
    body += text as string;
    if (body.length > EXCERPT_LENGTH) break;
  }
  const { statusCode, headers } = response;
  return { status: Number(statusCode), headers, body: body.slice(0, EXCERPT_LENGTH) };
}

function readFirstEvent(
  response: IncomingMessage,
  startedAt: number,
  abort: () => void,
): Promise<GetOutcome> {
  return new Promise((resolve, reject) => {
    let onEvent: (() => void) | undefined;
    const ended = new Promise<void>((end) => response.once('close', end));
    const decode = createEventStreamDecoder((event, data) => {
      if (onEvent) return onEvent();
      onEvent = () => {};
      const hello = event === EventName.hello ? parseHello(data) : undefined;
      if (!hello) {
        abort();
        return resolve({ type: 'foreign-stream', event });
      }
      const openedAfter = performance.now() - startedAt;
      const whenEnded = (listener: () => void) => {
        onEvent = listener;
        return ended;
      };
      resolve({
        type: 'stream',
        stream: { headers: response.headers, hello, openedAfter, whenEnded, abort },
      });
    }, MAX_EVENT_LENGTH);
    response.setEncoding('utf8');
    response.on('data', (text: string) => {
      if (!decode(text)) abort();
    });
    response.on('error', reject); // without effect after the first event; `close` follows
    response.once('end', () => resolve({ type: 'foreign-stream', event: 'none' }));
  });
}

function parseHello(data: string): Hello | undefined {
  const hello: Partial<Hello> | undefined = parseObject(data);
  return typeof hello?.token === 'string' ? (hello as Hello) : undefined;
}
