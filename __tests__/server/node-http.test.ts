import { connect, constants, createServer } from 'node:http2';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import type { EventStream } from '../../lib/server/event-stream';
import { openEventStream } from '../../lib/server/node-http';
import { listen } from '../helpers/channel';
import { onTestFinished } from '../helpers/on-test-finished';
import { openStream } from '../helpers/http';
import { waitFor } from '../helpers/wait-for';
import { exchange } from '../security/raw-socket';

function recordingOwner() {
  const calls: unknown[][] = [];
  return {
    calls,
    onStreamDrained: (stream: unknown) => void calls.push(['drained', stream]),
    onStreamClosed: (stream: unknown, finished: boolean) =>
      void calls.push(['closed', stream, finished]),
  };
}

async function serveStream(headers: Record<string, string> = {}) {
  const owner = recordingOwner();
  let stream!: EventStream;
  const { origin } = await listen((_, response) => {
    stream = openEventStream(response, owner, headers);
    stream.write(Buffer.from(':\n\n'));
  });
  const client = await openStream(origin);
  return { client, stream, calls: owner.calls };
}

/** More than any socket takes at once. */
const CHUNK = Buffer.alloc(64 << 20, 'x');

describe('the event stream response', () => {
  it('sends headers that keep caches, compression and proxies away', async () => {
    const { client } = await serveStream({ 'Sse-Protocol': '2' });
    expect(client.status).toBe(200);
    expect(client.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
      'x-content-type-options': 'nosniff',
      'sse-protocol': '2',
    });
  });

  // [RFC 9112 §6.3]
  it('has a body that ends with its connection, in no chunks', async () => {
    const { client } = await serveStream();
    expect(client.headers).not.toHaveProperty('transfer-encoding');
    expect(client.headers).not.toHaveProperty('content-length');
  });

  it('goes through the `write` that another middleware has put before it', async () => {
    const seen: string[] = [];
    const { origin } = await listen((_, response) => {
      const { write } = response;
      response.write = (chunk: Buffer) => {
        seen.push(chunk.toString());
        return write.call(response, chunk, 'utf8');
      };
      openEventStream(response, recordingOwner(), {}).write(Buffer.from('data: 1\n\n'));
    });
    const client = await openStream(origin);
    expect(await client.takeData()).toBe(1);
    expect(seen).toEqual(['data: 1\n\n']);
  });

  it('waits behind the answer to an earlier request on its connection', async () => {
    const streams: EventStream[] = [];
    const { origin } = await listen(({ url }, response) => {
      if (url === '/first') {
        setTimeout(() => response.end('first'), 50);
        return;
      }
      const stream = openEventStream(response, recordingOwner(), {});
      stream.write(Buffer.from('data: 1\n\n'));
      stream.write(Buffer.from('data: 2\n\n'));
      stream.end();
      streams.push(stream);
    });
    const requests = ['/first', '/stream'].map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    const text = await exchange(origin, requests.join(''));
    expect(streams).toHaveLength(1);
    expect(text.match(/\r\nConnection: \S+/g)).toEqual(
      ['keep-alive', 'close'].map((value) => `\r\nConnection: ${value}`),
    );
    expect(text).toMatch(
      /^HTTP\/1.1 200 OK[^]*first(?:\r\n0\r\n\r\n)?HTTP\/1.1 200 OK[^]*\r\n\r\ndata: 1\n\ndata: 2\n\n$/,
    );
  });

  it('sends what is written at once, and ends after it', async () => {
    const { client, stream, calls } = await serveStream();
    expect(stream.write(Buffer.from('data: 1\n\n'))).toBe(true);
    await client.take();
    expect(await client.takeData()).toBe(1);
    stream.write(Buffer.from('data: 2\n\n'));
    stream.end();
    expect(stream.isWritable).toBe(false);
    expect(await client.takeData()).toBe(2);
    expect(await client.ended).toBe('ended');
    await waitFor(() => calls.length > 0);
    expect(calls).toEqual([['closed', stream, true]]);
  });

  it('says when it should get no more, and when it takes bytes again', async () => {
    const { client, stream, calls } = await serveStream();
    client.pause();
    expect(stream.isWritable).toBe(true);
    while (stream.write(CHUNK));
    expect(stream.isWritable).toBe(false);
    expect(stream.writableLength).toBeGreaterThan(0);
    client.resume();
    await waitFor(() => calls.length > 0);
    expect(calls).toEqual([['drained', stream]]);
    expect([stream.isWritable, stream.writableLength]).toEqual([true, 0]);
  });

  it('tells once, and as not finished, of a client that went', async () => {
    const { client, stream, calls } = await serveStream();
    client.cut();
    await waitFor(() => calls.length > 0);
    expect(calls).toEqual([['closed', stream, false]]);
    expect(stream.isWritable).toBe(false);
    expect(stream.write(CHUNK)).toBe(false);
    stream.end();
    stream.destroy();
    expect(calls).toHaveLength(1);
  });

  it('is not finished when the client went before it had the end', async () => {
    const { client, stream, calls } = await serveStream();
    client.pause();
    while (stream.write(CHUNK));
    stream.end();
    client.cut();
    await waitFor(() => calls.length > 0);
    expect(calls).toEqual([['closed', stream, false]]);
  });

  it('takes nothing in the tick in which it is destroyed', async () => {
    const { client, stream, calls } = await serveStream();
    stream.destroy();
    expect(stream.write(CHUNK)).toBe(false);
    await client.ended;
    await waitFor(() => calls.length > 0);
    expect(calls).toEqual([['closed', stream, false]]);
  });

  it('is without effect after its end', async () => {
    const { stream, calls } = await serveStream();
    stream.end();
    expect(stream.write(CHUNK)).toBe(false);
    stream.end();
    await waitFor(() => calls.length > 0);
    expect(calls).toEqual([['closed', stream, true]]);
  });

  describe('over HTTP/2', () => {
    async function serveHttp2Stream() {
      const owner = recordingOwner();
      let stream!: EventStream;
      const server = createServer((_, response) => {
        stream = openEventStream(response as unknown as ServerResponse, owner, {});
        stream.write(Buffer.from(':\n\n'));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
      onTestFinished(async () => {
        session.destroy();
        await new Promise((resolve) => server.close(resolve));
      });
      const request = session.request({ ':path': '/' });
      request.on('error', () => {});
      await once(request, 'data');
      return { request, stream, calls: owner.calls };
    }

    it.each([
      ['before its end', false],
      ['after its end, before all was sent', true],
    ])('is not finished when it is aborted %s', async (_, ends) => {
      const { request, stream, calls } = await serveHttp2Stream();
      request.pause();
      while (stream.write(CHUNK));
      if (ends) stream.end();
      request.close(constants.NGHTTP2_CANCEL);
      await waitFor(() => calls.length > 0);
      expect(calls).toEqual([['closed', stream, false]]);
    });

    it('is finished when all was sent', async () => {
      const { request, stream, calls } = await serveHttp2Stream();
      request.resume();
      stream.write(CHUNK);
      stream.end();
      await waitFor(() => calls.length > 0);
      expect(calls.at(-1)).toEqual(['closed', stream, true]);
    });
  });
});
