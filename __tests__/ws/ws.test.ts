import { EventEmitter } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import { WebSocket, WebSocketServer } from 'ws';
import { createSseMiddleware } from '../../lib/index';
import { SseWebSocket } from '../../lib/websocket/index';
import { SseWebSocketServer } from '../../lib/ws/index';
import type { SseServerSocket, SseWebSocketServerOptions } from '../../lib/ws/index';
import { onTestFinished } from '../helpers/on-test-finished';
import { waitFor } from '../helpers/wait-for';

/** The types of the package `ws` describe both kinds: that is what a library sees. */
interface Both {
  wss: WebSocketServer;
  /** Opens a client, and returns the server's socket and request as well. */
  connect(
    path?: string,
    protocols?: string[],
  ): Promise<{ client: globalThis.WebSocket; socket: WebSocket; request: IncomingMessage }>;
}

type Options = SseWebSocketServerOptions;

async function listen(handler: Parameters<typeof createServer>[1], end: () => unknown) {
  const server = createServer({}, handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    await end();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { server, port: (server.address() as AddressInfo).port };
}

function connectWith(wss: WebSocketServer, Class: unknown, port: number): Both['connect'] {
  return async (path = '', protocols = []) => {
    const connected = new Promise<{ socket: WebSocket; request: IncomingMessage }>((resolve) =>
      wss.once('connection', (socket, request) => resolve({ socket, request })),
    );
    const client = new (Class as typeof globalThis.WebSocket)(
      `ws://127.0.0.1:${port}/sse${path}`,
      protocols,
    );
    client.binaryType = 'arraybuffer';
    onTestFinished(async () => {
      if (client.readyState === client.CLOSED) return;
      const closed = closeOf(client);
      client.close();
      await closed;
    });
    await new Promise((resolve) => client.addEventListener('open', resolve));
    return { client, ...(await connected) };
  };
}

/** The server's sockets: `ws` has no set without tracking. */
const clientsOf = ({ clients }: { clients?: Set<WebSocket> }) => [...(clients ?? [])];

async function startWs(options: Options = {}): Promise<Both> {
  const { server, port } = await listen(undefined, () => {
    for (const client of clientsOf(wss)) client.terminate();
    wss.close();
  });
  const wss = new WebSocketServer({ server, ...options });
  return { wss, connect: connectWith(wss, WebSocket, port) };
}

async function startSse(options: Options = {}): Promise<Both> {
  const sse = createSseMiddleware<never, never, IncomingMessage>('/sse', {
    subpaths: true,
    drainTimeout: 100,
  });
  const { port } = await listen(express().use(sse), () => sse.close(1001));
  const wss = new SseWebSocketServer(sse, options) as unknown as WebSocketServer;
  return { wss, connect: connectWith(wss, SseWebSocket, port) };
}

/** Resolves with the arguments of an event. */
const once = (
  emitter: { once(event: string, listener: (...all: never[]) => void): unknown },
  event: string,
) => new Promise<unknown[]>((resolve) => emitter.once(event, (...values) => resolve(values)));

/** Calls `ping` or `pong` with a callback after the values. Resolves with the argument of the callback. */
const settle = (socket: WebSocket, method: 'ping' | 'pong', values: readonly unknown[]) =>
  new Promise<unknown>((resolve) => {
    Reflect.apply(socket[method], socket, [...values, resolve]);
  });

const closeOf = (client: globalThis.WebSocket) =>
  new Promise<[number, string, boolean]>((resolve) =>
    client.addEventListener('close', ({ code, reason, wasClean }) =>
      resolve([code, reason, wasClean]),
    ),
  );

describe.each<[string, (options?: Options) => Promise<Both>]>([
  ['ws', startWs],
  ['sse-duplex/ws', startSse],
])('A server of %s', (_, start) => {
  it('emits messages as Buffers, and whether they are binary', async () => {
    const { connect } = await start();
    const { client, socket } = await connect();
    const received: unknown[] = [];
    socket.on('message', (data, isBinary) => received.push([data, isBinary]));
    client.send('é');
    client.send(Uint8Array.of(1, 2));
    client.send('');
    await waitFor(() => received.length === 3);
    expect(received).toEqual([
      [Buffer.from('é'), false],
      [Buffer.of(1, 2), true],
      [Buffer.alloc(0), false],
    ]);
  });

  it('emits bytes in the form of binaryType', async () => {
    const { connect } = await start();
    const { client, socket } = await connect();
    socket.binaryType = 'arraybuffer';
    const first = once(socket, 'message');
    client.send(Uint8Array.of(1, 2));
    const [buffer] = (await first) as [ArrayBuffer];
    expect(Object.prototype.toString.call(buffer)).toBe('[object ArrayBuffer]');
    socket.binaryType = 'fragments';
    const second = once(socket, 'message');
    client.send(Uint8Array.of(3));
    expect(await second).toEqual([[Buffer.of(3)], true]);
  });

  it('calls listeners and handlers with an event, as in a browser', async () => {
    const { connect } = await start();
    const { client, socket } = await connect();
    const events: unknown[] = [];
    const listener = ({ type, data, target }: { type: string; data: unknown; target: unknown }) =>
      events.push([type, data, target === socket]);
    socket.addEventListener('message', listener);
    socket.onmessage = ({ data }) => events.push(data);
    socket.addEventListener('message', () => events.push('once'), { once: true });
    socket.onclose = ({ code, reason, wasClean }) => events.push([code, reason, wasClean]);
    client.send('text');
    await waitFor(() => events.length === 3);
    socket.removeEventListener('message', listener);
    socket.onmessage = null;
    expect(socket.onmessage).toBeNull();
    expect(typeof socket.onclose).toBe('function');
    expect([socket.onopen, socket.onerror]).toEqual([null, null]);
    client.send('unheard');
    client.close(4000, 'done');
    await waitFor(() => events.length === 4);
    expect(events).toEqual([['message', 'text', true], 'text', 'once', [4000, 'done', true]]);
  });

  it('sends strings, numbers and bytes', async () => {
    const { connect } = await start();
    const { client, socket } = await connect();
    const received: unknown[] = [];
    client.onmessage = ({ data }: { data: unknown }) =>
      received.push(typeof data === 'string' ? data : [...new Uint8Array(data as ArrayBuffer)]);
    socket.send('two\r\nlines');
    socket.send(7);
    socket.send(Buffer.from('text'), { binary: false });
    socket.send('abc', { binary: true });
    socket.send('null', null as never, () => {});
    socket.send(Uint8Array.of(1, 2, 3).subarray(1));
    socket.send(Uint8Array.of(9).buffer);
    socket.send(null as never);
    socket.send(undefined as never);
    await waitFor(() => received.length === 9);
    const bytes = [[2, 3], [9], [], []];
    expect(received).toEqual(['two\r\nlines', '7', 'text', [97, 98, 99], 'null', ...bytes]);
  });

  it('calls the callback of send, with an error after the close', async () => {
    const { connect } = await start();
    const { client, socket } = await connect();
    const closed = once(socket, 'close');
    const callbacks: unknown[] = [];
    await new Promise<void>((resolve) => {
      socket.send('a', (error) => callbacks.push(['a', error ?? undefined]));
      socket.send('b', {}, (error) => {
        callbacks.push(['b', error ?? undefined]);
        resolve();
      });
    });
    client.close();
    await closed;
    await new Promise<void>((resolve) => {
      socket.send('c', (error) => {
        callbacks.push(['c', error?.message.replace(/^.*(?=not open)/, '')]);
        resolve();
      });
    });
    socket.send('d'); // is ignored
    expect(callbacks).toEqual([
      ['a', undefined],
      ['b', undefined],
      ['c', 'not open: readyState 3 (CLOSED)'],
    ]);
  });

  it('closes with a code and a reason, or without', async () => {
    const { connect } = await start();
    for (const [values, code, reason] of [
      [[4001, 'done'], 4001, 'done'],
      [[1011, Buffer.from('é')], 1011, 'é'],
      [[], 1005, ''],
    ] as [[number?, (string | Buffer)?], number, string][]) {
      const { client, socket } = await connect();
      const both = Promise.all([closeOf(client), once(socket, 'close')]);
      socket.close(...values);
      expect(socket.readyState).toBe(socket.CLOSING);
      expect(await both).toEqual([
        [code, reason, true],
        [code, Buffer.from(reason)],
      ]);
      expect(socket.readyState).toBe(socket.CLOSED);
    }
  });

  it('rejects invalid close codes, and the socket stays open', async () => {
    const { connect } = await start();
    const { socket } = await connect();
    expect(() => socket.close(999)).toThrow();
    expect(() => socket.close(1000, 'x'.repeat(124))).toThrow();
    expect(socket.readyState).toBe(1);
  });

  it('emits the code and the reason with which a client closes', async () => {
    const { connect } = await start();
    const { client, socket } = await connect();
    const closed = once(socket, 'close');
    client.close(3000, 'reason');
    expect(await closed).toEqual([3000, Buffer.from('reason')]);
  });

  it('terminates a socket with code 1006', async () => {
    const { connect } = await start();
    const { client, socket } = await connect();
    const closes: unknown[] = [];
    socket.on('close', (...values) => closes.push(values));
    const closed = closeOf(client);
    socket.terminate();
    socket.terminate();
    await closed;
    await sleep(20);
    expect(closes).toEqual([[1006, Buffer.alloc(0)]]);
    expect(socket.readyState).toBe(3);
  });

  it('keeps messages while it is paused', async () => {
    const { connect } = await start();
    const { client, socket } = await connect();
    const received: string[] = [];
    socket.on('message', (data: Buffer) => received.push(String(data)));
    socket.pause();
    client.send('a');
    await sleep(50);
    expect([socket.isPaused, received]).toEqual([true, []]);
    socket.resume();
    await waitFor(() => received.length === 1);
    expect(socket.isPaused).toBe(false);
  });

  it('answers ping with pong', async () => {
    const { connect } = await start();
    const { socket } = await connect();
    const pong = once(socket, 'pong');
    await new Promise<void>((resolve) => socket.ping('data', undefined, () => resolve()));
    expect(await pong).toEqual([Buffer.from('data')]);
    await new Promise<void>((resolve) => socket.pong('', undefined, () => resolve()));
  });

  it('accepts the callback of ping and pong as each of their arguments', async () => {
    const { connect } = await start();
    const { socket } = await connect();
    const pongs: unknown[] = [];
    socket.on('pong', (data) => pongs.push(String(data)));
    for (const method of ['ping', 'pong'] as const) {
      for (const values of [[], ['a'], [7, false], [undefined, undefined]] as const) {
        const error = await settle(socket, method, values);
        expect(error ?? undefined).toBeUndefined();
      }
    }
    await waitFor(() => pongs.length === 4);
    expect(pongs).toEqual(['', 'a', '7', '']);
  });

  it('calls the callbacks of ping and pong with an error after the close', async () => {
    const { connect } = await start();
    const { client, socket } = await connect();
    const closed = once(socket, 'close');
    client.close();
    await closed;
    socket.ping();
    socket.pong();
    for (const method of ['ping', 'pong'] as const) {
      for (const values of [[], ['a'], ['a', false]] as const) {
        const error = await settle(socket, method, values);
        expect(String(error)).toMatch('not open: readyState 3 (CLOSED)');
      }
    }
  });

  it('throws when ping is called with data that is neither text nor bytes, or is too long', async () => {
    const { connect } = await start();
    const { socket } = await connect();
    expect(() => socket.ping({})).toThrow('must be of type string');
    expect(() => socket.ping('x'.repeat(126))).toThrow(RangeError);
    socket.ping('x'.repeat(125));
    expect(socket.readyState).toBe(1);
  });

  it('calls a function or the handleEvent of an object once for each type, until it is removed', async () => {
    const { connect } = await start();
    const { client, socket } = await connect();
    const calls: string[] = [];
    const both = ({ type }: { type: string }) => calls.push(`both ${type}`);
    const object = {
      handleEvent({ type }: { type: string }) {
        calls.push(`object ${type} ${this === object}`);
      },
    };
    const handler = function (this: unknown) {
      calls.push(`handler ${this === socket}`);
    };
    const single = () => calls.push('once');
    for (let i = 0; i < 2; i++) {
      socket.addEventListener('message', both);
      socket.addEventListener('close', both);
      socket.addEventListener('message', object);
      socket.addEventListener('message', handler);
      socket.addEventListener('message', single, { once: true });
    }
    socket.onmessage = handler; // is called besides the listener
    client.send('first');
    await waitFor(() => calls.length >= 5);
    expect(calls.splice(0)).toEqual([
      'both message',
      'object message true',
      'handler true',
      'once',
      'handler true',
    ]);

    socket.removeEventListener('message', handler); // not that of the property
    socket.removeEventListener('message', both);
    socket.removeEventListener('message', both); // is removed already
    socket.removeEventListener('message', null as never);
    socket.addEventListener('message', single, { once: true });
    client.send('second');
    await waitFor(() => calls.length >= 3);
    expect(calls.splice(0)).toEqual(['object message true', 'handler true', 'once']);

    socket.addEventListener('message', handler);
    socket.onmessage = null; // not the listener
    socket.removeEventListener('message', object);
    client.send('third');
    await waitFor(() => calls.length >= 1);
    client.close();
    await once(socket, 'close');
    expect(calls).toEqual(['handler true', 'both close']);
  });

  it('forgets listeners and handlers that removeAllListeners has removed', async () => {
    const { connect } = await start();
    const { client, socket } = await connect();
    const calls: unknown[] = [];
    const listener = ({ data }: { data: unknown }) => calls.push(data);
    socket.addEventListener('message', listener);
    socket.onmessage = listener;
    socket.removeAllListeners('message');
    expect(socket.onmessage).toBeNull();
    socket.addEventListener('message', listener);
    client.send('x');
    await waitFor(() => calls.length > 0);
    expect(calls).toEqual(['x']);
  });

  it('calls listeners only for the types of events of a WebSocket', async () => {
    const { connect } = await start();
    const { socket } = await connect();
    const events: unknown[] = [];
    socket.addEventListener('pong' as never, (event: unknown) => events.push(event));
    const pong = once(socket, 'pong');
    socket.ping();
    await pong;
    expect(events).toEqual([]);
  });

  it('has the constants and the fields of a socket', async () => {
    const { connect } = await start();
    const { socket } = await connect();
    const { CONNECTING, OPEN, CLOSING, CLOSED, readyState, url, extensions, bufferedAmount } =
      socket;
    expect([CONNECTING, OPEN, CLOSING, CLOSED, readyState]).toEqual([0, 1, 2, 3, 1]);
    expect([url || '', extensions, bufferedAmount, socket.isPaused]).toEqual(['', '', 0, false]);
  });

  it('has a set of its clients, and emits the request of each', async () => {
    const { wss, connect } = await start();
    const { client, socket, request } = await connect('/room-1?user=a');
    expect([...wss.clients]).toEqual([socket]);
    expect(request.url).toMatch(/^\/sse\/room-1\?user=a/);
    client.close();
    await once(socket, 'close');
    expect(wss.clients.size).toBe(0);
  });

  it('chooses the first subprotocol, or what handleProtocols returns', async () => {
    const { wss, connect } = await start();
    const first = await connect('', ['one', 'two']);
    expect([first.client.protocol, first.socket.protocol]).toEqual(['one', 'one']);
    const seen: unknown[] = [];
    wss.options.handleProtocols = (protocols, request) => {
      seen.push([[...protocols], request.url?.slice(0, 4)]);
      return 'two';
    };
    const second = await connect('', ['one', 'two']);
    expect([second.client.protocol, second.socket.protocol]).toEqual(['two', 'two']);
    expect(seen).toEqual([[['one', 'two'], '/sse']]);
    const none = await connect();
    expect([none.client.protocol, none.socket.protocol]).toEqual(['', '']);
  });

  it('emits close when its last client is closed', async () => {
    const { wss, connect } = await start();
    const { client, socket } = await connect();
    const calls: unknown[] = [];
    wss.on('close', () => calls.push('close'));
    wss.close((error) => calls.push(error));
    await sleep(20);
    expect(calls).toEqual([]);
    client.close();
    await once(socket, 'close');
    await waitFor(() => calls.length === 2);
    expect(new Set(calls)).toEqual(new Set(['close', undefined]));
    const again = await new Promise<Error | undefined>((resolve) => wss.close(resolve));
    expect(again).toBeInstanceOf(Error);
  });

  it('has no set of clients without clientTracking', async () => {
    const { wss, connect } = await start({ clientTracking: false });
    const { socket } = await connect();
    expect(clientsOf(wss)).toEqual([]);
    expect(socket.readyState).toBe(1);
  });
});

describe('A server of sse-duplex/ws', () => {
  it('closes sessions that have moved from another node with code 1012', () => {
    const sse = new EventEmitter();
    const wss = new SseWebSocketServer(sse as never);
    const closes: unknown[] = [];
    wss.on('connection', () => closes.push('a socket'));
    const connection = { recovered: true, close: (...values: unknown[]) => closes.push(values) };
    sse.emit('connection', connection, {});
    expect(closes).toEqual([[1012, 'moved to another node']]);
  });

  it('closes the socket of a session that moves to another node with code 1012', async () => {
    const sse = new EventEmitter();
    const wss = new SseWebSocketServer(sse as never);
    const connection = Object.assign(new EventEmitter(), { readyState: 1, send: () => false });
    sse.emit('connection', connection, {});
    const [socket] = wss.clients;
    const calls: unknown[] = [];
    socket!.on('close', (code, reason) => calls.push([code, String(reason), socket!.readyState]));
    socket!.send('x', (error) => calls.push(error?.message));
    const closed = new Promise((resolve) => wss.close(resolve));
    connection.readyState = 3;
    connection.emit('moved');
    await closed;
    expect(calls).toEqual([
      'the socket is not open: readyState 3 (CLOSED)',
      [1012, 'moved to another node', 3],
    ]);
    expect(wss.clients.size).toBe(0);
  });

  it('has handlers for all types of events', async () => {
    const { connect } = await startSse();
    const { socket } = await connect();
    const events: unknown[] = [];
    for (const type of ['open', 'error'] as const) {
      socket[`on${type}`] = (event: unknown) => events.push(event);
      socket.emit(type, new Error('of the application'));
      socket[`on${type}`] = null;
      socket.emit(type === 'error' ? 'open' : type);
    }
    expect(events).toEqual(['open', 'error'].map((type) => ({ type, target: socket })));
    socket.removeEventListener('message', () => {}); // was never added
  });

  it('is closed at once without clients, and rejects later ones with code 1001', async () => {
    const { wss, connect } = await startSse();
    const first = await connect();
    first.client.close();
    await once(first.socket, 'close');
    await new Promise<void>((resolve) => wss.close(() => resolve()));
    const late = new SseWebSocket(first.client.url);
    expect(await closeOf(late as never)).toEqual([1001, '', true]);
  });

  it('keeps messages until there is a listener', async () => {
    const { connect } = await startSse();
    const { client, socket } = await connect();
    client.send('early');
    await sleep(50);
    expect(await once(socket, 'message')).toEqual([Buffer.from('early'), false]);
  });

  it('keeps messages until there is a listener, also after removeAllListeners', async () => {
    const { connect } = await startSse();
    const { client, socket } = await connect();
    client.send('early');
    const acknowledged = () => client.bufferedAmount === 0;
    await waitFor(acknowledged);
    expect(socket.removeAllListeners()).toBe(socket);
    expect(await once(socket, 'message')).toEqual([Buffer.from('early'), false]);
  });

  it.each([
    ['with a listener', true],
    ['without a listener', false],
  ])(
    'is closing until the messages before the close are read, and can be terminated, %s',
    async (_, hasListener) => {
      const { wss, connect } = await startSse();
      const { client, socket } = await connect();
      const { connection } = socket as unknown as SseServerSocket;
      const messages: unknown[] = [];
      if (hasListener) socket.on('message', (message) => messages.push(message));
      const closes: unknown[] = [];
      socket.on('close', (...values) => closes.push(values));
      socket.pause();
      client.send('unread');
      client.close();
      await closeOf(client);
      expect([socket.readyState, closes, wss.clients.size]).toEqual([2, [], 1]);
      const ended = once(connection, 'close');
      const closed = new Promise((resolve) => wss.close(resolve));
      socket.terminate();
      socket.terminate();
      expect(socket.readyState).toBe(2);
      await closed;
      await ended;
      expect([socket.readyState, wss.clients.size, messages]).toEqual([3, 0, []]);
      expect(closes).toEqual([[1006, Buffer.alloc(0)]]);
    },
  );

  it('calls the callback of send when more may be sent', async () => {
    const { connect } = await startSse();
    const { client, socket } = await connect();
    let received = 0;
    client.onmessage = () => received++;
    const errors = await Promise.all(
      Array.from({ length: 40 }, () => {
        return new Promise((resolve) => socket.send('x'.repeat(300_000), resolve));
      }),
    );
    expect(errors.filter(Boolean)).toEqual([]);
    await waitFor(() => received === 40);
  });

  it('calls the callback of send with an error if the socket closes before', async () => {
    const { connect } = await startSse();
    const { socket } = await connect();
    const sent = Promise.all(
      Array.from({ length: 60 }, () => {
        return new Promise((resolve) => socket.send('x'.repeat(300_000), resolve));
      }),
    );
    const errors = (await sent).filter(Boolean);
    expect(errors.length).toBeGreaterThan(0); // more than maxBufferedAmount
    await new Promise<void>((resolve) => {
      socket.ping('', undefined, (error) => {
        errors.push(error);
        resolve();
      });
    });
    expect(String(errors.at(-1))).toMatch('the socket is not open');
  });

  it('receives other values than strings and bytes as JSON', async () => {
    const { connect } = await startSse();
    const { socket } = await connect();
    const { connection } = socket as unknown as { connection: NodeJS.EventEmitter };
    const message = once(socket, 'message');
    connection.emit('message', { a: 1 });
    expect(await message).toEqual([Buffer.from('{"a":1}'), false]);
  });
});
