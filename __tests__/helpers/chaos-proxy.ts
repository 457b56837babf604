import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

/** `up`: from the client to the server. */
export type Direction = 'up' | 'down';

/**
 * What happens to a connection:
 * - `fin`: both sockets are ended;
 * - `rst`: both sockets are reset;
 * - `half-close`: this direction ends, the other stays open;
 * - `black-hole`: all further bytes and ends, in both directions, are discarded;
 * - `stall`: this direction pauses for `milliseconds`;
 * - `delay`: each chunk of the next `bytes` of this direction is delayed by `milliseconds`;
 * - `slices`: the next `bytes` of this direction pass one at a time.
 */
export type FaultKind = 'fin' | 'rst' | 'half-close' | 'black-hole' | 'stall' | 'delay' | 'slices';

/** A fault, and where it occurs. */
export interface Fault {
  kind: FaultKind;
  direction: Direction;
  /**
   * Number of bytes that still pass in this direction, over all matching connections. With 0 and `down`,
   * the server handled the request, but nothing of the response passes. With `request` and `up`, exactly
   * one request passes.
   */
  after: number | 'request';
  /** Method of the current request on the connection. @default any */
  method?: 'GET' | 'POST';
  /** Matches the path and query of that request. @default any */
  target?: RegExp;
  milliseconds?: number;
  bytes?: number;
}

interface Pending {
  fault: Fault;
  left: number;
  struck: () => void;
}

/** A TCP proxy that injects faults of networks. */
export class ChaosProxy {
  /** Port of the server. A change affects new connections. */
  targetPort: number;
  /** Number of faults that occurred. */
  struck = 0;
  /** Number of connections that were opened. */
  opened = 0;
  readonly links = new Set<Link>();
  readonly #pending: Pending[] = [];
  readonly #server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    this.opened++;
    const link = new Link(this, client, this.targetPort);
    this.links.add(link);
    void link.closed.then(() => this.links.delete(link));
  });

  private constructor(targetPort: number) {
    this.targetPort = targetPort;
  }

  static async open(targetPort: number): Promise<ChaosProxy> {
    const proxy = new ChaosProxy(targetPort);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Injects a fault once, at the first match. Resolves when it has occurred. */
  inject(fault: Fault): Promise<void> {
    return new Promise((resolve) => {
      const left = fault.after === 'request' ? Infinity : fault.after;
      this.#pending.push({ fault, left, struck: resolve });
    });
  }

  /** Resets all open connections, or those whose current request has this method. */
  cut(method?: 'GET' | 'POST'): void {
    for (const link of this.links) {
      if (!method || link.requests.method === method) link.reset();
    }
  }

  async close(): Promise<void> {
    this.#server.close();
    this.cut();
    await once(this.#server, 'close');
  }

  /** Returns how many of a link's bytes pass, and the fault that occurs after them. */
  next(
    link: Link,
    direction: Direction,
    length: number,
    requestEnd: number | undefined,
  ): { pass: number; fault?: Fault } {
    const { method, target } = link.requests;
    const matching = this.#pending.filter(
      ({ fault }) =>
        fault.direction === direction &&
        (fault.method ?? method) === method &&
        (fault.target?.test(target) ?? true),
    );
    let pass = length;
    let hit: Pending | undefined;
    for (const pending of matching) {
      const at = pending.fault.after === 'request' ? (requestEnd ?? Infinity) : pending.left;
      if (at < pass || (at === pass && pending.fault.after === 'request' && !hit)) {
        pass = at;
        hit = pending;
      }
    }
    for (const pending of matching) pending.left -= pass;
    if (!hit) return { pass };
    this.#pending.splice(this.#pending.indexOf(hit), 1);
    this.struck++;
    hit.struck();
    return { pass, fault: hit.fault };
  }
}

/** One connection through the proxy. */
class Link {
  readonly requests = new RequestReader();
  readonly closed: Promise<unknown>;
  readonly #proxy: ChaosProxy;
  readonly #client: Socket;
  readonly #server: Socket;
  #isBlackHole = false;
  readonly #ended = { up: false, down: false };
  readonly #late = { bytes: 0, milliseconds: 0 };
  #slices = 0;

  constructor(proxy: ChaosProxy, client: Socket, targetPort: number) {
    this.#proxy = proxy;
    this.#client = client;
    this.#server = connect({
      port: targetPort,
      host: '127.0.0.1',
      allowHalfOpen: true,
      noDelay: true,
    });
    const sockets = [this.#client, this.#server];
    for (const socket of sockets) socket.on('error', () => {}); // `close` follows
    this.closed = Promise.all(
      sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve))),
    );
    void this.#pump('up', this.#client, this.#server);
    void this.#pump('down', this.#server, this.#client);
  }

  reset(): void {
    reset(this.#client);
    reset(this.#server);
  }

  async #pump(direction: Direction, from: Socket, to: Socket): Promise<void> {
    try {
      for await (const chunk of from.iterator({
        destroyOnReturn: false,
      }) as AsyncIterable<Buffer>) {
        let requestEnd = direction === 'up' ? this.requests.read(chunk) : undefined;
        for (let rest = chunk; rest.length > 0;) {
          const { pass, fault } = this.#proxy.next(this, direction, rest.length, requestEnd);
          await this.#pass(direction, to, rest.subarray(0, pass));
          rest = rest.subarray(pass);
          if (requestEnd !== undefined) requestEnd -= pass;
          if (fault) await this.#strike(fault, to);
        }
      }
      if (!this.#isBlackHole) to.end();
    } catch {
      if (!this.#isBlackHole) reset(to);
    }
  }

  async #pass(direction: Direction, to: Socket, bytes: Buffer): Promise<void> {
    for (let rest = bytes; rest.length > 0;) {
      let length = rest.length;
      if (this.#slices > 0) {
        length = 1;
        this.#slices--;
        await nextTurn();
      } else if (this.#late.bytes > 0) {
        this.#late.bytes -= length;
        await sleep(this.#late.milliseconds);
      }
      if (this.#isBlackHole || this.#ended[direction] || to.destroyed) return;
      const hasRoom = to.write(rest.subarray(0, length));
      rest = rest.subarray(length);
      if (!hasRoom) {
        await new Promise<void>((resolve) => {
          const settle = () => {
            to.off('drain', settle).off('close', settle);
            resolve();
          };
          to.on('drain', settle).on('close', settle);
        });
      }
    }
  }

  async #strike(fault: Fault, to: Socket): Promise<void> {
    const { kind, direction, milliseconds = 0, bytes = 0 } = fault;
    if (kind === 'fin') {
      this.#ended.up = this.#ended.down = true;
      this.#client.end();
      this.#server.end();
    } else if (kind === 'rst') {
      this.reset();
    } else if (kind === 'half-close') {
      this.#ended[direction] = true;
      to.end();
    } else if (kind === 'black-hole') {
      this.#isBlackHole = true;
    } else if (kind === 'stall') {
      await sleep(milliseconds);
    } else if (kind === 'delay') {
      Object.assign(this.#late, { bytes, milliseconds });
    } else {
      this.#slices = bytes;
    }
  }
}

/**
 * Resets a connection, or only closes it if it is connecting, writing or ending: after a reset in such a
 * state, Node 20 hangs when the process ends.
 */
function reset(socket: Socket): void {
  if (socket.connecting || socket.writableEnded || socket.writableLength > 0) socket.destroy();
  else socket.resetAndDestroy();
}

/** Parses the requests on a connection: their method, target and end. */
class RequestReader {
  method = '';
  target = '';
  #head = '';
  #bodyLeft = 0;

  /** Returns the index in the chunk at which a request ends. */
  read(chunk: Buffer): number | undefined {
    let bodyAt = 0;
    if (this.#bodyLeft === 0) {
      const before = this.#head.length;
      this.#head += chunk.toString('latin1');
      [, this.method = '', this.target = ''] = /^(\w+) (\S+) /.exec(this.#head) ?? [];
      const end = this.#head.indexOf('\r\n\r\n');
      if (end < 0) return undefined;
      const length = /^content-length: *(\d+)/im.exec(this.#head.slice(0, end));
      this.#bodyLeft = Number(length?.[1] ?? 0);
      this.#head = '';
      bodyAt = end + 4 - before;
    }
    const body = Math.min(this.#bodyLeft, chunk.length - bodyAt);
    this.#bodyLeft -= body;
    return this.#bodyLeft === 0 ? bodyAt + body : undefined;
  }
}
