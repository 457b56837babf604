import { request } from 'node:http';
import type { Agent, IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { onTestFinished } from './on-test-finished';
import { waitFor } from './wait-for';

export interface Reply {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

export interface RequestParameters {
  method?: string;
  headers?: OutgoingHttpHeaders;
  body?: string | Buffer;
  agent?: Agent;
}

/** Sends a request with any headers, including those that `fetch` does not allow. */
export async function sendRequest(
  url: string,
  { method, headers, body, agent }: RequestParameters = {},
): Promise<Reply> {
  const response = await open(url, method ?? 'GET', headers, body, agent);
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  return { status: response.statusCode!, headers: response.headers, text };
}

/** Sends a POST as browsers do without a preflight. */
export async function post(
  url: string,
  body: string | Buffer,
  headers: OutgoingHttpHeaders = {},
): Promise<Reply & { json: unknown }> {
  const reply = await sendRequest(url, {
    method: 'POST',
    headers: { 'Content-Type': 'text/plain;charset=UTF-8', ...headers },
    body,
  });
  return { ...reply, json: JSON.parse(reply.text) as unknown };
}

/** The fields of one event. A comment has the empty string as its field name. */
export type Block = Partial<Record<string, string>>;

/** An event stream that is read without this package's decoder. */
export interface RawStream {
  status: number;
  headers: IncomingHttpHeaders;
  /** The text received so far. */
  text(): string;
  /** Returns the next block. Rejects if the stream ends before. */
  take(): Promise<Block>;
  /** Returns the next block's `data`, parsed as JSON. */
  takeData(): Promise<unknown>;
  /** Number of blocks that were received and not taken. */
  waiting(): number;
  /** Settles when the stream is complete or cut. */
  ended: Promise<'ended' | 'cut'>;
  /** Stops and continues reading, so that the server's writes have to wait. */
  pause(): void;
  resume(): void;
  /** Cuts the connection. */
  cut(): void;
}

export async function openStream(
  url: string,
  headers: OutgoingHttpHeaders = {},
): Promise<RawStream> {
  const response = await open(url, 'GET', { Accept: 'text/event-stream', ...headers });
  onTestFinished(() => response.destroy());
  const blocks: Block[] = [];
  let text = '';
  let last = '';
  let unread = 0;
  let isOver = false;
  response.setEncoding('utf8');
  response.on('data', (chunk: string) => {
    text += chunk;
    const hasEnd = (last + chunk).includes('\n\n');
    last = chunk.at(-1)!;
    if (!hasEnd) return;
    const ended = text.slice(unread).split('\n\n').slice(0, -1);
    for (const block of ended) {
      blocks.push(readBlock(block));
      unread += block.length + 2;
    }
  });
  response.on('error', () => {});
  const ended = new Promise<'ended' | 'cut'>((resolve) => {
    response.on('close', () => {
      isOver = true;
      resolve(response.complete ? 'ended' : 'cut');
    });
  });

  async function take(): Promise<Block> {
    await waitFor(() => isOver || blocks.length > 0);
    const block = blocks.shift();
    if (!block) throw new Error(`the stream ended after ${JSON.stringify(text)}`);
    return block;
  }

  return {
    status: response.statusCode!,
    headers: response.headers,
    text: () => text,
    take,
    takeData: async () => JSON.parse((await take()).data!) as unknown,
    waiting: () => blocks.length,
    ended,
    pause: () => void response.pause(),
    resume: () => void response.resume(),
    cut: () => void response.destroy(),
  };
}

function readBlock(block: string): Block {
  return Object.fromEntries(
    block.split('\n').map((line) => {
      const [field, ...rest] = line.split(':');
      return [field!, rest.join(':').replace(/^ /, '')];
    }),
  );
}

function open(
  url: string,
  method: string,
  headers: OutgoingHttpHeaders = {},
  body?: string | Buffer,
  agent: Agent | false = false,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(url, { method, headers, agent }).on('response', resolve).on('error', reject).end(body);
  });
}
