/**
 * The behaviour of a WebSocket [WebSockets §3]. Each case runs with any class that has its interface, against a server
 * of `case-server.ts`.
 */

/** A class with the interface of WebSocket. */
export type WebSocketClass = typeof WebSocket;

interface Case {
  name: string;
  /** Returns what was observed, as JSON. `url` is that of a server that echoes. */
  run(Class: WebSocketClass, url: string): Promise<unknown> | unknown[];
  expected: unknown;
  /** Browsers whose own WebSocket does not follow the standard here. */
  except?: string[];
}

const nameOf = (action: () => unknown): string => {
  try {
    action();
    return 'no exception';
  } catch (error) {
    const { name, constructor } = error as Error;
    return `${constructor.name} ${name}`;
  }
};

const next = <Type extends keyof WebSocketEventMap>(socket: WebSocket, type: Type) =>
  new Promise<WebSocketEventMap[Type]>((resolve) =>
    socket.addEventListener(type, resolve, { once: true }),
  );

async function open(
  Class: WebSocketClass,
  url: string,
  protocols?: string | string[],
): Promise<WebSocket> {
  const socket = new Class(url, protocols);
  await next(socket, 'open');
  return socket;
}

/** Resolves with the next messages. */
function take(socket: WebSocket, count: number): Promise<unknown[]> {
  return new Promise((resolve) => {
    const all: unknown[] = [];
    socket.onmessage = ({ data }) => {
      all.push(data);
      if (all.length === count) resolve(all);
    };
  });
}

/** Records the types of all events until `close`, and the fields of that. */
async function untilClose(socket: WebSocket): Promise<unknown[]> {
  const events: unknown[] = [];
  socket.addEventListener('open', () => events.push('open'));
  socket.addEventListener('message', ({ data }) => events.push(`message ${String(data)}`));
  socket.addEventListener('error', () => events.push(`error ${socket.readyState}`));
  const { code, reason, wasClean, type } = await next(socket, 'close');
  return [...events, type, code, reason, wasClean, socket.readyState];
}

const with_ = (url: string, query: string) => `${url}?${query}`;

async function bytesOf(data: unknown): Promise<number[]> {
  const buffer = data instanceof Blob ? await data.arrayBuffer() : (data as ArrayBuffer);
  return [...new Uint8Array(buffer)];
}

const CONSTANTS = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 };
const SYNTAX_ERROR = 'DOMException SyntaxError';
const INVALID_ACCESS = 'DOMException InvalidAccessError';

export const CASES: Case[] = [
  {
    name: 'the constructor throws for invalid URLs and subprotocols',
    run: (Class, url) => [
      nameOf(() => new (Class as unknown as new () => void)()),
      ...['http://', 'ftp://host/', 'mailto:a@b', `${url}#fragment`, `${url}#`].map((each) =>
        nameOf(() => new Class(each)),
      ),
      ...['', 'a b', 'a,b', 'a/b', 'é', ['a', 'a'], ['a', '']].map((protocols) =>
        nameOf(() => new Class(url, protocols)),
      ),
      nameOf(() => (Class as unknown as () => void)()),
    ],
    expected: [
      'TypeError TypeError',
      ...Array<string>(12).fill(SYNTAX_ERROR),
      'TypeError TypeError',
    ],
  },
  {
    name: 'the class and its instances have the constants, the prototype has the members',
    run: (Class, url) => {
      const socket = new Class(url);
      socket.close();
      const { prototype } = Class;
      const members = ['url', 'readyState', 'bufferedAmount', 'protocol', 'extensions', 'send']
        .concat(['binaryType', 'close', 'onopen', 'onmessage', 'onerror', 'onclose'])
        .map((name) => Object.getOwnPropertyDescriptor(prototype, name)?.enumerable);
      const constants = (owner: typeof CONSTANTS) =>
        Object.fromEntries(
          Object.keys(CONSTANTS).map((name) => [name, owner[name as keyof typeof CONSTANTS]]),
        );
      return [
        constants(Class),
        constants(prototype),
        constants(socket),
        new Set(members).size,
        members[0],
        Class.length,
        socket instanceof EventTarget,
        Object.getPrototypeOf(socket) === prototype,
      ];
    },
    expected: [CONSTANTS, CONSTANTS, CONSTANTS, 1, true, 1, true, true],
  },
  {
    name: 'a socket that is connecting has its initial values',
    run: (Class, url) => {
      const socket = new Class(url.replace('ws', 'http'));
      const { readyState, bufferedAmount, protocol, extensions, binaryType } = socket;
      const { onopen, onmessage, onerror, onclose } = socket;
      const isUrl = socket.url === url;
      const values = [nameOf(() => socket.send('x')), bufferedAmount, readyState];
      socket.close();
      return [
        values,
        protocol,
        extensions,
        binaryType,
        [onopen, onmessage, onerror, onclose],
        isUrl,
      ];
    },
    expected: [
      ['DOMException InvalidStateError', 0, 0],
      '',
      '',
      'blob',
      [null, null, null, null],
      true,
    ],
  },
  {
    name: 'a handler is null until a function is set, and when anything else is',
    run: async (Class, url) => {
      const socket = new Class(url);
      let opened = 0;
      const handler = () => opened++;
      socket.onopen = () => (opened += 100);
      socket.onopen = handler;
      const isSame = socket.onopen === handler;
      await next(socket, 'open');
      socket.onopen = 5 as never;
      socket.close();
      return [isSame, socket.onopen, opened];
    },
    expected: [true, null, 1],
  },
  {
    name: 'a socket that is closed before it is open fails',
    run: async (Class, url) => {
      const socket = new Class(url);
      socket.close();
      const { readyState } = socket;
      socket.close(); // has no effect
      return [readyState, ...(await untilClose(socket))];
    },
    expected: [2, 'error 3', 'close', 1006, '', false, 3],
  },
  {
    name: 'a socket fails where no server answers',
    run: (Class, url) => untilClose(new Class(url.replace('/sse', '/nothing'))),
    expected: ['error 3', 'close', 1006, '', false, 3],
  },
  {
    name: 'close() throws for invalid codes and reasons, and the socket stays open',
    run: async (Class, url) => {
      const socket = await open(Class, url);
      const exceptions = [
        ...[0, 999, 1001, 1005, 1006, 2999, 5000, 65_536 + 999].map((code) =>
          nameOf(() => socket.close(code)),
        ),
        nameOf(() => socket.close(1000, 'x'.repeat(124))),
        nameOf(() => socket.close(3000, 'é'.repeat(62))),
        nameOf(() => socket.close(null as never)),
        nameOf(() => socket.close(Symbol('x') as never)),
        nameOf(() => socket.close(3000, Symbol('x') as never)),
      ];
      const { readyState } = socket;
      socket.close();
      return [exceptions, readyState];
    },
    expected: [
      [
        ...Array<string>(8).fill(INVALID_ACCESS),
        ...[SYNTAX_ERROR, SYNTAX_ERROR, INVALID_ACCESS],
        ...['TypeError TypeError', 'TypeError TypeError'],
      ],
      1,
    ],
  },
  ...(
    [
      [[], 1005, ''],
      [[1000], 1000, ''],
      [[3000, 'reason'], 3000, 'reason'],
      [[4999, 'é'.repeat(61)], 4999, 'é'.repeat(61)],
      [['4000', 'text'], 4000, 'text'],
      [[1000.5, 42], 1000, '42'],
      [[4000.2, null], 4000, 'null'],
      [[3000, 'lone \ud800'], 3000, 'lone \ufffd'],
    ] as [[code?: never, reason?: never], number, string][]
  ).map(([values, code, reason]): Case => ({
    name: `close(${values.join()}) ends in a close event with ${code}`,
    run: async (Class, url) => {
      const socket = await open(Class, url);
      socket.close(...values);
      const { readyState } = socket;
      return [readyState, ...(await untilClose(socket))];
    },
    expected: [2, 'close', code, reason, true, 3],
  })),
  {
    name: 'strings arrive as they were sent, lone surrogates replaced',
    run: async (Class, url) => {
      const socket = await open(Class, url);
      const received = take(socket, 6);
      for (const text of ['a', '', 'é€😀', '"\\', '1\r2\n3\u2028', '\ud800x']) socket.send(text);
      const all = await received;
      socket.close();
      return all;
    },
    expected: ['a', '', 'é€😀', '"\\', '1\r2\n3\u2028', '\ufffdx'],
  },
  {
    name: 'other values are sent as strings',
    run: async (Class, url) => {
      const socket = await open(Class, url);
      const values = [1, null, undefined, { a: 1 }, [1, 2], true] as never[];
      const received = take(socket, values.length + 1);
      for (const value of values) socket.send(value);
      socket.send(new URLSearchParams('a=1') as never);
      const all = await received;
      socket.close();
      return [...all, nameOf(() => socket.send(Symbol('x') as never))];
    },
    expected: [
      ...['1', 'null', 'undefined', '[object Object]', '1,2', 'true', 'a=1'],
      'TypeError TypeError',
    ],
  },
  ...(['blob', 'arraybuffer'] as const).map((binaryType): Case => ({
    name: `bytes arrive as ${binaryType}, in order among strings`,
    run: async (Class, url) => {
      const socket = await open(Class, url);
      socket.binaryType = binaryType;
      socket.binaryType = 'other' as never; // is ignored
      const received = take(socket, 6);
      socket.send(Uint8Array.of(0, 1, 255).buffer);
      socket.send('text');
      socket.send(new DataView(Uint8Array.of(1, 2, 3, 4).buffer, 1, 2));
      socket.send(new Blob(['blob']));
      socket.send('after the blob');
      socket.send(new Uint8Array());
      const all = await received;
      socket.close();
      const kind = Object.prototype.toString.call(all[0]);
      const contents = all.map(async (each) => (typeof each === 'string' ? each : bytesOf(each)));
      return [socket.binaryType, kind, ...(await Promise.all(contents))];
    },
    expected: [
      binaryType,
      binaryType === 'blob' ? '[object Blob]' : '[object ArrayBuffer]',
      [0, 1, 255],
      'text',
      [2, 3],
      [98, 108, 111, 98],
      'after the blob',
      [],
    ],
  })),
  {
    name: 'bufferedAmount counts the bytes of what was sent, and of what was discarded after the end',
    run: async (Class, url) => {
      const socket = await open(Class, url);
      socket.send('é€');
      socket.send(new Uint8Array(10));
      socket.send(new Blob(['12345']));
      const atOnce = socket.bufferedAmount;
      await take(socket, 3);
      while (socket.bufferedAmount > 0) await new Promise((resolve) => setTimeout(resolve, 10));
      socket.close();
      socket.send('abc');
      const closing = socket.bufferedAmount;
      await next(socket, 'close');
      socket.send(new Uint8Array(4));
      return [atOnce, closing, socket.bufferedAmount];
    },
    expected: [20, 3, 7],
    except: ['WebKitGTK'], // it adds the size of frames to what was discarded
  },
  {
    name: 'what is sent before close() arrives, and nothing is received after it',
    run: async (Class, url) => {
      const socket = await open(Class, url);
      socket.send('closes with 4001');
      const closed = untilClose(socket);
      const echo = await open(Class, url);
      echo.send('unheard');
      echo.close(3001);
      return Promise.all([closed, untilClose(echo)]);
    },
    expected: [
      ['close', 4001, 'asked', true, 3],
      ['close', 3001, '', true, 3],
    ],
  },
  {
    name: 'the server closes with a code, or without one, after its messages',
    run: async (Class, url) => [
      await untilClose(new Class(with_(url, 'send=a&send=b&close=4000&reason=done'))),
      await untilClose(new Class(with_(url, 'close='))),
    ],
    expected: [
      ['open', 'message a', 'message b', 'close', 4000, 'done', true, 3],
      ['open', 'close', 1005, '', true, 3],
    ],
  },
  {
    name: 'the subprotocol is the one that the server has chosen',
    run: async (Class, url) => {
      const chosen = await open(Class, url, ['one', 'two']);
      const single = await open(Class, url, 'two');
      const none = await open(Class, url, []);
      for (const socket of [chosen, single, none]) socket.close();
      return [chosen.protocol, single.protocol, none.protocol];
    },
    expected: ['one', 'two', ''],
  },
  {
    name: 'a socket fails if the server chooses none of the subprotocols',
    run: (Class, url) => untilClose(new Class(with_(url, 'refuse=1'), ['one'])),
    expected: ['error 3', 'close', 1006, '', false, 3],
    except: ['Firefox', 'WebKitGTK'], // they open the connection
  },
  {
    name: 'microtasks run between two messages',
    run: async (Class, url) => {
      const socket = new Class(with_(url, 'send=a&send=b&send=c'));
      const log: string[] = [];
      await new Promise<void>((resolve) => {
        socket.onmessage = async ({ data }) => {
          log.push(String(data));
          for (let i = 0; i < 5; i++) await Promise.resolve();
          log.push(`after ${String(data)}`);
          if (data === 'c') resolve();
        };
      });
      socket.close();
      return log;
    },
    expected: ['a', 'after a', 'b', 'after b', 'c', 'after c'],
  },
  {
    name: 'the events are those of the platform',
    run: async (Class, url) => {
      const socket = new Class(with_(url, 'send=a&close=1000'));
      const message = next(socket, 'message');
      const close = next(socket, 'close');
      const { origin, bubbles, cancelable, target } = await message;
      const { data } = (await message) as { data: unknown };
      const isCloseEvent = typeof CloseEvent === 'undefined' || (await close) instanceof CloseEvent;
      return [
        origin === new URL(url).origin,
        data,
        bubbles,
        cancelable,
        target === socket,
        (await message) instanceof MessageEvent,
        isCloseEvent,
      ];
    },
    expected: [true, 'a', false, false, true, true, true],
  },
];

/** Runs a case. Returns what was observed, when all sockets of the case are closed. */
export async function runCase(Class: WebSocketClass, url: string, name: string): Promise<unknown> {
  const sockets: WebSocket[] = [];
  const Recorded = new Proxy(Class, {
    construct(target, values, newTarget) {
      const socket = Reflect.construct(target, values, newTarget) as WebSocket;
      sockets.push(socket);
      return socket;
    },
  });
  const observed: unknown = await CASES.find((each) => each.name === name)?.run(Recorded, url);
  for (const socket of sockets) {
    if (socket.readyState === Class.CLOSED) continue;
    socket.close();
    await next(socket, 'close');
  }
  return observed;
}
