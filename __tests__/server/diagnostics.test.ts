import { createHash } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import createDebug from 'debug';
import type { Request, Response } from 'express';
import { diagnose } from '../../lib/server/diagnostics';
import { openChannel, openDuplex } from '../helpers/channel';
import type { Connection } from '../helpers/channel';
import { openStream, post, sendRequest } from '../helpers/http';
import { onTestFinished } from '../helpers/on-test-finished';
import { runPageCode } from '../helpers/page-code';
import { waitFor } from '../helpers/wait-for';

type Published = Record<string, unknown>;

/**
 * Collects what is published from now on, on all channels, in order. Only messages about these
 * connections are returned, because the channels belong to the whole process.
 */
function subscribeAll(connections: Connection[]): () => [name: string, message: Published][] {
  const messages: [string, Published][] = [];
  for (const name of ['connect', 'disconnect', 'reconnect', 'overflow', 'close', 'client-error']) {
    const collect = (message: unknown) => messages.push([name, message as Published]);
    subscribe(`sse-duplex:${name}`, collect);
    onTestFinished(() => unsubscribe(`sse-duplex:${name}`, collect));
  }
  const isOwn = ({ connection }: Published) =>
    connection === undefined || connections.includes(connection as Connection);
  return () => messages.filter(([, message]) => isOwn(message));
}

/** The lines that `DEBUG` would have logged. */
function log(namespaces: string): string[] {
  const lines: string[] = [];
  const { log: own } = createDebug;
  createDebug.log = (...values: unknown[]) => lines.push(values.join(' '));
  createDebug.enable(namespaces);
  onTestFinished(() => {
    createDebug.disable();
    createDebug.log = own;
  });
  return lines;
}

describe('diagnose', () => {
  it('publishes the events of a session from its opening to its end', async () => {
    const { url, connections } = await openChannel();
    const messages = subscribeAll(connections);
    const client = await openDuplex(url, 'secret-name');
    client.stream.cut();
    await waitFor(() => messages().length === 2);
    await client.resume(0);
    connections[0]!.send('never acknowledged');
    await client.post({ close: { code: 4000, reason: 'bye' } });

    const context = { path: '/sse', connection: connections[0] };
    expect(messages()).toEqual([
      ['connect', { ...context, dialect: 'duplex' }],
      ['disconnect', context],
      ['reconnect', context],
      ['close', { ...context, code: 4000, reason: 'bye', unacknowledged: 1 }],
    ]);
  });

  it('publishes the overflow of a client that is too slow before its close', async () => {
    const { url, connections } = await openChannel({ maxBufferedAmount: 20 });
    const messages = subscribeAll(connections);
    await openDuplex(url);
    connections[0]!.send('0123456789abcdef');
    expect(messages().slice(1)).toMatchObject([
      ['overflow', { path: '/sse', connection: connections[0], direction: 'down', bytes: 26 }],
      ['close', { code: 1008, unacknowledged: 1 }],
    ]);
  });

  it('publishes the overflow of an application that does not read from a Dart client', async () => {
    const { url, connections } = await openChannel({ maxBufferedAmount: 10 });
    const messages = subscribeAll(connections);
    await openStream(`${url}?sseClientId=dart`);
    await post(`${url}?sseClientId=dart&messageId=0`, '"0123456789"');
    expect(messages().slice(0, 2)).toMatchObject([
      ['connect', { dialect: 'dart' }],
      ['overflow', { direction: 'up', bytes: 12 }],
    ]);
  });

  it('publishes a rejected request', async () => {
    const { url, connections } = await openChannel();
    const messages = subscribeAll(connections);
    await sendRequest(`${url}?sseClientId=a`, { headers: { Origin: 'https://evil.example' } });
    expect(messages()).toMatchObject([
      ['client-error', { path: '/sse', error: { code: 'forbidden', status: 403 } }],
    ]);
  });

  it('logs facts with DEBUG, and nothing that came from the client', async () => {
    const lines = log('sse-duplex:*');
    const { url } = await openChannel();
    const client = await openDuplex(url, 'secret-name');
    await client.post({ messages: ['secret message'], token: 'secret-guess' });
    await client.post({ close: { code: 4000, reason: 'secret reason' } });
    await sendRequest(`${url}?sseClientId=a`, { headers: { Origin: 'https://secret.example' } });

    const hash = createHash('sha256').update('secret-name').digest('hex');
    const session = `session=${hash.slice(0, 8)}`;
    const own = lines.filter((line) => line.includes(session) || line.includes('status='));
    expect(own.map((line) => /path=.*$/.exec(line)?.[0])).toEqual([
      `path=/sse ${session} dialect=duplex`,
      'path=/sse status=404 code=unknown-session',
      `path=/sse ${session} code=4000 unacknowledged=0`,
      'path=/sse status=403 code=forbidden',
    ]);
    expect(lines.join()).not.toMatch(new RegExp(`secret|${client.token}`));
  });

  it('logs with DEBUG that the engine of a cluster is lost and back', () => {
    const lines = log('sse-duplex:*');
    diagnose('sse-duplex:engine-lost', { path: '/sse', cause: new Error('refused') });
    diagnose('sse-duplex:engine-back', { path: '/sse' });
    expect(lines.map((line) => /path=.*$/.exec(line)?.[0])).toEqual([
      'path=/sse cause=Error: refused',
      'path=/sse',
    ]);
  });

  it('logs only the namespaces that DEBUG selects', async () => {
    const lines = log('sse-duplex:client-error');
    const { url } = await openChannel();
    await openDuplex(url);
    await sendRequest(url);
    expect(lines).toHaveLength(1);
  });
});

describe('the metrics of docs/observability.md', () => {
  it('count sessions, bytes, overflows, closes and client errors', async () => {
    let serve!: (request: Request, response: Response) => Promise<void>;
    const app = { get: (_path: string, handler: typeof serve) => (serve = handler) };
    const { sse, url, connections } = await openChannel({ maxBufferedAmount: 1_000 }, (express) =>
      express.get('/metrics', (request, response) => serve(request, response)),
    );
    runPageCode('docs/observability.md', { sse, app });

    await openDuplex(url, 'stays');
    const reconnecting = await openDuplex(url, 'reconnects');
    reconnecting.stream.cut();
    await waitFor(() => sse.stats().connected === 1);
    await reconnecting.resume(0);
    connections[1]!.send('x'.repeat(1_000));
    await sendRequest(url);

    const { text } = await sendRequest(url.replace('/sse', '/metrics'));
    expect(text.split('\n').filter((line) => /^sse_/.test(line))).toEqual([
      'sse_connections{state="connected"} 1',
      'sse_connections{state="waiting"} 0',
      'sse_buffered_bytes 0',
      'sse_opened_total 2',
      'sse_resumed_total 1',
      'sse_overflows_total 1',
      'sse_closed_total{code="1008"} 1',
      'sse_client_errors_total{code="bad-request"} 1',
    ]);
  });
});
