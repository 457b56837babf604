import { IncomingMessage, request as httpRequest } from 'node:http';
import { connect, constants, createServer } from 'node:http2';
import { EventEmitter, once } from 'node:events';
import type { ClientRequest, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { Socket, connect as connectSocket } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { EventStream } from '../../lib/server/event-stream';
import {
  discardBody,
  hostOf,
  interceptRequests,
  isAborted,
  openEventStream,
  readBody,
  sendEventStream,
  sendJson,
  targetOf,
} from '../../lib/server/node-http';
import { SseRequestError } from '../../lib/server/request-error';
import { listen } from '../helpers/channel';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { openStream, post, sendRequest } from '../helpers/http';
import { onTestFinished } from '../helpers/on-test-finished';
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

const TIMEOUT = 5_000;

describe('openEventStream', () => {
  it('sends headers that keep caches, compression and proxies from holding events back', async () => {
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
  it('sends a body that ends with the connection, without chunked encoding', async () => {
    const { client } = await serveStream();
    expect(client.headers).not.toHaveProperty('transfer-encoding');
    expect(client.headers).not.toHaveProperty('content-length');
  });

  it('writes through a `write` that other middleware has replaced', async () => {
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

  it.each(['write', 'end'] as const)(
    'closes the response, and emits a warning, if a %s() that other middleware has replaced throws',
    async (method) => {
      const emitWarning = jest.spyOn(process, 'emitWarning').mockImplementation(() => {});
      onTestFinished(() => emitWarning.mockRestore());
      const error = new Error('from the middleware');
      const owner = recordingOwner();
      let stream!: EventStream;
      const { origin } = await listen((_, response) => {
        const throwing = () => {
          throw error;
        };
        Object.assign(response, { write: response.write.bind(response), [method]: throwing });
        stream = openEventStream(response, owner, {});
        expect(() => stream.write(Buffer.from(':\n\n'))).not.toThrow();
        expect(() => stream.end()).not.toThrow();
        expect(stream.isWritable).toBe(false);
      });
      await sendRequest(origin).catch(() => {});
      await waitFor(() => owner.calls.length > 0);
      expect(owner.calls).toEqual([['closed', stream, false]]);
      expect(emitWarning.mock.calls).toEqual([[error]]);
    },
  );

  it('waits for the response to an earlier request on the same connection', async () => {
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

  it('writes immediately, and ends after everything that was written', async () => {
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

  it('returns false from write() when the socket is full, and reports the drain', async () => {
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

  it('reports once, as unfinished, that the client disconnected', async () => {
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

  it('reports as unfinished a stream whose client disconnected before it received the end', async () => {
    const { client, stream, calls } = await serveStream();
    client.pause();
    while (stream.write(CHUNK));
    stream.end();
    client.cut();
    await waitFor(() => calls.length > 0);
    expect(calls).toEqual([['closed', stream, false]]);
  });

  it('closes a stream whose client does not read its end within 5 s', async () => {
    const { client, stream, calls } = await serveStream();
    client.pause();
    while (stream.write(CHUNK));
    useFakeTimeouts();
    stream.end();
    jest.advanceTimersByTime(4_999);
    await turn();
    expect(calls).toEqual([]);
    jest.advanceTimersByTime(1);
    await waitFor(() => calls.length > 0);
    expect(calls).toEqual([['closed', stream, false]]);
    client.resume();
    await client.ended;
  });

  it('has no timer after its end was received', async () => {
    const { client, stream, calls } = await serveStream();
    useFakeTimeouts();
    stream.end();
    expect(await client.ended).toBe('ended');
    await waitFor(() => calls.length > 0);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('writes nothing in the tick in which the stream is destroyed', async () => {
    const { client, stream, calls } = await serveStream();
    stream.destroy();
    expect([stream.isWritable, stream.write(CHUNK)]).toEqual([false, false]);
    await client.ended;
    await waitFor(() => calls.length > 0);
    expect(calls).toEqual([['closed', stream, false]]);
  });

  it('is not writable in the tick in which its socket is destroyed', async () => {
    let states: boolean[] = [];
    const { origin } = await listen((_, response) => {
      const stream = openEventStream(response, recordingOwner(), {});
      const before = stream.isWritable;
      response.socket!.destroy();
      states = [before, stream.isWritable, stream.write(Buffer.from('x'))];
    });
    await expect(sendRequest(origin)).rejects.toThrow('socket hang up');
    expect(states).toEqual([true, false, false]);
  });

  it('ignores calls after end()', async () => {
    const { stream, calls } = await serveStream();
    stream.end();
    expect(stream.write(CHUNK)).toBe(false);
    stream.end();
    await waitFor(() => calls.length > 0);
    expect(calls).toEqual([['closed', stream, true]]);
  });

  describe('behind the response to an earlier request on the same connection', () => {
    /** Serves streams, all of which have to wait for the response to `/first`. */
    async function serveWaitingStreams(count: number) {
      const owner = recordingOwner();
      const streams: EventStream[] = [];
      const responses: ServerResponse[] = [];
      const sockets = new Set<Socket>();
      const { origin } = await listen((request, response) => {
        sockets.add(request.socket);
        responses.push(response);
        if (request.url !== '/first') streams.push(openEventStream(response, owner, {}));
      });
      const { hostname, port } = new URL(origin);
      const client = connectSocket(Number(port), hostname);
      onTestFinished(() => client.destroy());
      const paths = ['/first', ...Array.from({ length: count }, () => '/stream')];
      client.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''));
      await waitFor(() => streams.length === count);
      expect(sockets.size).toBe(1);
      const [socket] = sockets;
      return { client, streams, responses, calls: owner.calls, socket: socket! };
    }

    it('reports once, as unfinished, that the client disconnected', async () => {
      const { client, streams, responses, calls } = await serveWaitingStreams(2);
      streams[0]!.write(CHUNK);
      streams[1]!.end();
      client.destroy();
      await waitFor(() => calls.length >= 2);
      expect(calls).toEqual(streams.map((stream) => ['closed', stream, false]));
      expect(streams.map(({ isWritable }) => isWritable)).toEqual([false, false]);
      expect(responses.map(isAborted)).toEqual([true, true, true]);
      for (const stream of streams) stream.destroy();
      await turn();
      expect(calls).toHaveLength(2);
    });

    it('reports its own end once, before its turn comes', async () => {
      const { client, streams, responses, calls } = await serveWaitingStreams(1);
      const [stream] = streams;
      stream!.destroy();
      expect([stream!.isWritable, stream!.write(CHUNK), calls]).toEqual([false, false, []]);
      await turn();
      expect(calls).toEqual([['closed', stream, false]]);
      const isClosed = once(client, 'close');
      client.resume();
      responses[0]!.end();
      await isClosed;
      expect(calls).toHaveLength(1);
    });

    it('reports as unfinished a stream whose client disconnected before it received the end', async () => {
      const { client, streams, responses, calls } = await serveWaitingStreams(1);
      streams[0]!.write(CHUNK);
      streams[0]!.end();
      client.once('data', () => client.destroy());
      responses[0]!.end();
      await waitFor(() => calls.length > 0);
      expect(calls).toEqual([['closed', streams[0], false]]);
    });

    it('is closed if its turn does not come within 5 s of its end', async () => {
      const { streams, calls } = await serveWaitingStreams(1);
      useFakeTimeouts();
      streams[0]!.end();
      jest.advanceTimersByTime(4_999);
      await turn();
      expect(calls).toEqual([]);
      jest.advanceTimersByTime(1);
      await waitFor(() => calls.length > 0);
      expect(calls).toEqual([['closed', streams[0], false]]);
    });

    it('is aborted as soon as the socket is destroyed, and shares one listener on it with others', async () => {
      const { streams, responses, calls, socket } = await serveWaitingStreams(20);
      expect(socket.listenerCount('close')).toBeLessThan(10); // Node warns of more
      socket.destroy();
      expect(responses.slice(1).every(isAborted)).toBe(true);
      await waitFor(() => calls.length >= 20);
      expect(calls).toEqual(streams.map((stream) => ['closed', stream, false]));
    });
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
    ])('reports as unfinished a stream that is aborted %s', async (_, ends) => {
      const { request, stream, calls } = await serveHttp2Stream();
      request.pause();
      while (stream.write(CHUNK));
      if (ends) stream.end();
      request.close(constants.NGHTTP2_CANCEL);
      await waitFor(() => calls.length > 0);
      expect(calls).toEqual([['closed', stream, false]]);
    });

    it('closes a stream whose client does not read its end within 5 s', async () => {
      const { request, stream, calls } = await serveHttp2Stream();
      request.pause();
      while (stream.write(CHUNK));
      useFakeTimeouts();
      stream.end();
      jest.advanceTimersByTime(5_000);
      await waitFor(() => calls.length > 0);
      expect(calls).toEqual([['closed', stream, false]]);
      expect(jest.getTimerCount()).toBe(0);
    });

    it('reports as finished a stream whose end was sent', async () => {
      const { request, stream, calls } = await serveHttp2Stream();
      request.resume();
      stream.write(CHUNK);
      stream.end();
      await waitFor(() => calls.length > 0);
      expect(calls.at(-1)).toEqual(['closed', stream, true]);
    });
  });
});

describe('sendJson', () => {
  async function respondWith(error: SseRequestError) {
    const { origin } = await listen((_, response) => sendError(response, error));
    return sendRequest(origin);
  }

  function sendError(response: ServerResponse, error: SseRequestError): void {
    sendJson(response, error.status, error.body, error.headers);
  }

  it('sends the status, the headers and the body as JSON that no cache stores', async () => {
    const reply = await respondWith(
      new SseRequestError('content-too-large', 'größer als erlaubt', {
        headers: { 'Retry-After': '1' },
        body: { maxPayload: 10 },
      }),
    );
    expect(reply.status).toBe(413);
    expect(reply.headers).toMatchObject({
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'retry-after': '1',
    });
    expect(JSON.parse(reply.text)).toEqual({
      code: 'content-too-large',
      message: 'größer als erlaubt',
      maxPayload: 10,
    });
  });

  it('has no effect on a response that has begun', async () => {
    const { origin } = await listen((_, response) => {
      response.writeHead(200);
      sendError(response, new SseRequestError('service-unavailable', 'no'));
      response.end('mine');
    });
    const reply = await sendRequest(origin);
    expect([reply.status, reply.text]).toEqual([200, 'mine']);
  });

  it('sends the whole body through an `end` that other middleware has replaced', async () => {
    const ends: unknown[] = [];
    const { origin } = await listen((_, response) => {
      const { end } = response;
      response.end = ((chunk: string) => {
        ends.push(chunk);
        return end.call(response, chunk, 'utf8');
      }) as typeof end;
      sendError(response, new SseRequestError('service-unavailable', 'later'));
    });
    const { text } = await sendRequest(origin);
    expect(ends).toEqual([text]);
    expect(JSON.parse(text)).toEqual({ code: 'service-unavailable', message: 'later' });
  });

  it('waits for the response to an earlier request on the same connection', async () => {
    const { origin } = await listen(({ url }, response) => {
      const reject = () => sendError(response, new SseRequestError('service-unavailable', url!));
      if (url === '/first') setTimeout(reject, 50);
      else reject();
    });
    const last = 'GET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
    const text = await exchange(origin, `GET /first HTTP/1.1\r\nHost: a\r\n\r\n${last}`);
    expect(text.match(/\{.*?\}/g)).toEqual([
      '{"code":"service-unavailable","message":"/first"}',
      '{"code":"service-unavailable","message":"/second"}',
    ]);
  });
});

describe('targetOf', () => {
  it.each([
    ['/sse?a=b', '/sse?a=b'],
    ['http://app.example/sse?a=b', '/sse?a=b'],
    ['https://app.example', '/'],
    ['*', '*'],
    ['', ''],
  ])('of %j is %j', (url, target) => {
    expect(targetOf({ url } as never)).toBe(target);
  });

  it('of a request without a URL is empty', () => {
    expect(targetOf({} as never)).toBe('');
  });
});

describe('hostOf', () => {
  it.each([
    [{ host: 'app.example:80' }, 'app.example:80'],
    [{ ':authority': 'app.example' }, 'app.example'],
    [{ host: 'a.example', ':authority': 'b.example' }, 'a.example'],
    [{}, ''],
  ])('of a request with %j is %j', (headers, host) => {
    expect(hostOf({ headers } as never)).toBe(host);
  });
});

describe('interceptRequests', () => {
  it('passes a request that is not served to all listeners, whenever they were added', async () => {
    const { server, origin } = await listen((_, response) => void response.end('application'));
    const urls: string[] = [];
    interceptRequests(server, ({ url }, response) => {
      if (url !== '/own') return false;
      response.end('own');
      return true;
    });
    server.on('request', ({ url }: IncomingMessage) => urls.push(url!));
    expect((await sendRequest(`${origin}/own`)).text).toBe('own');
    expect((await sendRequest(`${origin}/other`)).text).toBe('application');
    expect(urls).toEqual(['/other']);
  });

  it('leaves other events alone', () => {
    const server = new EventEmitter();
    const serve = jest.fn(() => true);
    interceptRequests(server, serve);
    const listener = jest.fn();
    server.on('connection', listener);
    expect([server.emit('connection', 1), server.emit('close')]).toEqual([true, false]);
    expect(listener).toHaveBeenCalledWith(1);
    expect(serve).not.toHaveBeenCalled();
  });

  it.each<[unknown, unknown]>([
    [new Error('unexpected'), new Error('unexpected')],
    ['text', 'text'],
  ])('closes the connection and emits a warning for the exception %p', (error, warning) => {
    const emitWarning = jest.spyOn(process, 'emitWarning').mockImplementation(() => {});
    onTestFinished(() => emitWarning.mockRestore());
    const server = new EventEmitter();
    interceptRequests(server, (_request, _response, onError) => {
      onError(error);
      return true;
    });
    const response = { destroy: jest.fn() };
    server.emit('request', {}, response);
    expect(response.destroy).toHaveBeenCalledTimes(1);
    expect(emitWarning.mock.calls).toEqual([[warning]]);
  });
});

describe('readBody', () => {
  /** The outcome of reading a POST of which only a part is sent. */
  async function readPart(headers?: OutgoingHttpHeaders) {
    let outcome: unknown;
    let isReading = false;
    const { origin } = await listen((request, response) => {
      isReading = true;
      void Promise.resolve(readBody(request, 100, TIMEOUT))
        .catch((error: unknown) => error)
        .then((value) => {
          outcome = value;
          response.end();
        });
    });
    useFakeTimeouts();
    const { sent } = upload(origin, headers);
    sent.on('error', () => {});
    sent.write('"pa');
    await waitFor(() => isReading);
    return { sent, outcome: () => outcome };
  }

  it('rejects with 408 if the body does not arrive within the timeout', async () => {
    const { outcome } = await readPart();
    jest.advanceTimersByTime(TIMEOUT - 1);
    await turn();
    expect(outcome()).toBeUndefined();
    jest.advanceTimersByTime(1);
    await waitFor(() => outcome() !== undefined);
    expect(outcome()).toMatchObject({
      code: 'request-timeout',
      status: 408,
      message: 'the request body did not arrive within 5000 ms (option "bodyTimeout")',
    });
  });

  it('rejects with 400 and clears its timer if the client disconnects before the end of the body', async () => {
    const { sent, outcome } = await readPart({ 'Content-Length': 50 });
    sent.destroy();
    await waitFor(() => outcome() !== undefined);
    expect(outcome()).toMatchObject({
      code: 'bad-request',
      message: 'the connection closed before the end of the request body',
    });
    expect(jest.getTimerCount()).toBe(0);
  });

  it('rejects with 400 if the client disconnected before the body was read', async () => {
    let request: IncomingMessage | undefined;
    const { origin } = await listen((incoming) => (request = incoming));
    const { sent } = upload(origin, { 'Content-Length': 50 });
    sent.on('error', () => {});
    sent.write('"pa');
    await waitFor(() => request !== undefined);
    const isClosed = new Promise((resolve) => request!.on('close', resolve));
    request!.on('error', () => {});
    sent.destroy();
    await isClosed;
    await expect(readBody(request!, 100, TIMEOUT)).rejects.toMatchObject({
      code: 'bad-request',
      message: 'the connection closed before the end of the request body',
    });
  });

  describe('of a request that other code decodes', () => {
    /** Reads the body of a request whose encoding is set before. */
    async function readEncoded(encoding: BufferEncoding, limit: number, text: string) {
      let value: unknown;
      const { origin } = await listen((request, response) => {
        request.setEncoding(encoding);
        void Promise.resolve(readBody(request, limit, TIMEOUT))
          .catch((error: unknown) => error)
          .then((body) => {
            value = body;
            response.end('{}');
          });
      });
      await post(origin, text);
      return value;
    }

    it.each(['utf8', 'base64', 'hex', 'utf16le'] as const)(
      'returns the bytes of the body (%s)',
      async (encoding) => {
        for (const length of [1, 200_001]) {
          const text = `"${'ü'.repeat(length)}"`;
          const body = await readEncoded(encoding, 1_000_000, text);
          expect([Buffer.isBuffer(body), String(body)]).toEqual([true, text]);
        }
      },
    );

    it('limits the bytes of the body', async () => {
      const text = 'ü'.repeat(60);
      expect(await readEncoded('utf8', 119, text)).toHaveLength(120);
    });
  });

  it('rejects with the exception if other code emits chunks that are not bytes', async () => {
    const request = new IncomingMessage(new Socket());
    const reading = readBody(request, 100, TIMEOUT);
    request.emit('data', { length: 1 });
    request.emit('data', { length: 1 });
    request.emit('end');
    await expect(reading).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
  });

  it('reads a body that arrived before it was read', async () => {
    let value: unknown;
    const { origin } = await listen((request, response) => {
      setTimeout(() => {
        void Promise.resolve(readBody(request, 100, TIMEOUT)).then((body) => {
          value = body;
          response.end('{}');
        });
      }, 20);
    });
    await post(origin, '"early"');
    expect(value).toEqual(Buffer.from('"early"'));
  });
});

describe('isAborted', () => {
  it('is true after the client has disconnected', async () => {
    let response: ServerResponse | undefined;
    const { origin } = await listen((_, outgoing) => (response = outgoing));
    const { sent } = upload(origin);
    sent.on('error', () => {});
    await waitFor(() => response !== undefined);
    expect(isAborted(response!)).toBe(false);
    sent.destroy();
    await waitFor(() => isAborted(response!));
  });
});

describe('sendEventStream', () => {
  it('sends the events and ends', async () => {
    const { origin } = await listen((_, response) =>
      sendEventStream(response, Buffer.from('retry: 1\n\n')),
    );
    const reply = await sendRequest(origin);
    expect([reply.status, reply.headers['content-type'], reply.text]).toEqual([
      200,
      'text/event-stream',
      'retry: 1\n\n',
    ]);
  });
});

describe('discardBody', () => {
  async function discarding() {
    const requests: IncomingMessage[] = [];
    const { origin } = await listen((request, response) => {
      requests.push(request);
      response.end();
      discardBody(request, TIMEOUT);
    });
    useFakeTimeouts();
    return { origin, requests };
  }

  const isOver = (sent: ClientRequest) => sent.destroyed || sent.closed;

  it('reads the body to its end and clears its timer', async () => {
    const { origin, requests } = await discarding();
    const { sent } = upload(origin, { Connection: 'keep-alive' });
    await waitFor(() => requests.length > 0);
    sent.end('x'.repeat(1000));
    await waitFor(() => requests[0]!.complete);
    await waitFor(() => jest.getTimerCount() === 0);
  });

  it('closes the connection if the body does not end within the timeout', async () => {
    const { origin, requests } = await discarding();
    const { sent } = upload(origin);
    sent.on('error', () => {});
    await waitFor(() => requests.length > 0);
    jest.advanceTimersByTime(TIMEOUT);
    await waitFor(() => isOver(sent));
    expect(requests[0]!.complete).toBe(false);
  });

  it('has no effect on a request whose body was read', async () => {
    const { origin, requests } = await discarding();
    const { sent, responded } = upload(origin);
    sent.end();
    await responded;
    await waitFor(() => requests[0]!.complete && requests[0]!.destroyed);
    const timers = jest.getTimerCount();
    discardBody(requests[0]!, TIMEOUT);
    expect(jest.getTimerCount()).toBe(timers);
  });
});

/** A POST whose body is written by the test. */
function upload(url: string, headers: OutgoingHttpHeaders = {}) {
  const sent = httpRequest(url, { method: 'POST', agent: false, headers });
  onTestFinished(() => sent.destroy());
  const responded = new Promise<IncomingMessage>((resolve, reject) => {
    sent.on('response', resolve).on('error', reject);
  });
  responded.catch(() => {});
  sent.flushHeaders();
  return { sent, responded };
}
