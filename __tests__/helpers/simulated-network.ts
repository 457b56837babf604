import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import { Duplex } from 'node:stream';
import { httpFetch } from './http-fetch';

type Side = 'client' | 'server';
type Method = 'GET' | 'POST';

/** How a connection breaks. */
export interface Break {
  /** Which side notices the break. Bytes of the other side are discarded from then on. */
  noticedBy: 'both' | Side | 'neither';
  /** Milliseconds until the server notices. @default never, unless `noticedBy` says so */
  serverNoticesAfter?: number;
}

/** What happens to the next connection of a method. */
interface Plan {
  method: Method;
  /** Breaks after `bytes` bytes from one side. */
  breakAfter?: Break & { from: Side; bytes: number };
  /** Delay of the request in milliseconds. It arrives even if the client aborts it. */
  late?: number;
  /** Delivers the request twice, as when a browser repeats it. */
  isDoubled?: boolean;
}

/**
 * A network without sockets. Both ends use real HTTP; the bytes between them are delivered by timers, or
 * lost. Each request has its own connection.
 */
export class SimulatedNetwork {
  /** Milliseconds from sending to delivery. */
  latency = 1;
  /** Bytes per millisecond that a connection carries to the server. */
  uplinkRate = Infinity;
  /** Whether bytes to clients are held back. */
  isStalled = false;
  readonly links = new Set<Link>();
  readonly #plans: Plan[] = [];
  #server: Server | undefined;
  #unpluggedUntil = 0;

  /** Sets the server of new connections. */
  serve(listener: RequestListener): void {
    this.#server = createServer(listener);
  }

  /** Rejects new connections for a while. */
  unplug(milliseconds: number): void {
    this.#unpluggedUntil = performance.now() + milliseconds;
  }

  plan(plan: Plan): void {
    this.#plans.push(plan);
  }

  /** Breaks all open connections, or those of one method. */
  break(what: Break, method?: Method): void {
    for (const link of this.links) if (!method || link.method === method) link.break(what);
  }

  stall(isStalled: boolean): void {
    this.isStalled = isStalled;
    if (!isStalled) for (const link of this.links) link.release();
  }

  /** Makes new connections work without faults. */
  heal(): void {
    this.#plans.length = 0;
    this.latency = 1;
    this.uplinkRate = Infinity;
    this.#unpluggedUntil = 0;
    this.stall(false);
  }

  readonly fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const socket = this.#connect((init.method ?? 'GET') as Method);
    if (!socket) throw new TypeError('connection refused');
    return httpFetch(url, init, { createConnection: () => socket });
  };

  #connect(method: Method): Duplex | undefined {
    if (!this.#server || performance.now() < this.#unpluggedUntil) return undefined;
    const at = this.#plans.findIndex((plan) => plan.method === method);
    const [plan = {} as Partial<Plan>] = at < 0 ? [] : this.#plans.splice(at, 1);
    const link = new Link(this, method, plan);
    this.links.add(link);
    this.#server.emit('connection', link.server);
    if (plan.isDoubled) {
      const again = new Link(this, method, {});
      again.client.resume();
      link.copy = again.client;
      this.#server.emit('connection', again.server);
    }
    return link.client;
  }
}

/** One connection. */
class Link {
  readonly method: Method;
  readonly client: End;
  readonly server: End;
  /** A second connection that gets the client's bytes as well. */
  copy: Duplex | undefined;
  readonly #network: SimulatedNetwork;
  readonly #plan: Partial<Plan>;
  #isBroken = false;
  readonly #passed = { client: 0, server: 0 };
  /** Time at which the last bytes of each side arrive. Later ones must not overtake them. */
  readonly #arrival = { client: 0, server: 0 };
  #stalled: (() => void)[] = [];

  constructor(network: SimulatedNetwork, method: Method, plan: Partial<Plan>) {
    this.#network = network;
    this.method = method;
    this.#plan = plan;
    this.client = new End(this, 'client');
    this.server = new End(this, 'server');
  }

  /** Sends bytes to the other side. */
  pass(from: Side, chunk: Buffer, taken: () => void): void {
    const { breakAfter } = this.#plan;
    let bytes = chunk;
    const isHit = breakAfter?.from === from && this.#passed[from] + chunk.length > breakAfter.bytes;
    if (isHit) bytes = chunk.subarray(0, Math.max(0, breakAfter.bytes - this.#passed[from]));
    this.#passed[from] += bytes.length;
    if (from === 'client') this.copy?.write(chunk);
    this.#deliver(from, bytes.length, () => {
      if (bytes.length > 0) this.#other(from).push(bytes);
      if (isHit) this.break(breakAfter);
    });
    // A broken connection accepts bytes as long as this side has not noticed.
    if (this.#isStalled(from)) this.#stalled.push(taken);
    else taken();
  }

  /** Ends the bytes of one side. */
  finish(from: Side): void {
    this.#deliver(from, 0, () => this.#other(from).push(null));
  }

  /** Destroys the other side's socket after one side's was destroyed. */
  destroy(from: Side): void {
    this.#deliver(from, 0, () => this.#other(from).destroy());
    if (this.client.destroyed && this.server.destroyed) this.#network.links.delete(this);
  }

  break({ noticedBy, serverNoticesAfter }: Break): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    if (noticedBy === 'both' || noticedBy === 'client') this.client.destroy(reset());
    if (noticedBy === 'both' || noticedBy === 'server') this.server.destroy(reset());
    if (serverNoticesAfter !== undefined) {
      setTimeout(() => this.server.destroy(reset()), serverNoticesAfter);
    }
  }

  /** Delivers the bytes that were held back. */
  release(): void {
    for (const pass of this.#stalled.splice(0)) pass();
  }

  #deliver(from: Side, bytes: number, arrive: () => void): void {
    const isUp = from === 'client';
    const late = isUp ? (this.#plan.late ?? 0) : 0;
    const at = performance.now() + this.#network.latency + late;
    const transfer = isUp ? bytes / this.#network.uplinkRate : 0;
    this.#arrival[from] = Math.max(at, this.#arrival[from]) + transfer;
    setTimeout(() => {
      const pass = () => {
        if (!this.#isBroken && !this.#other(from).destroyed) arrive();
      };
      if (this.#isStalled(from)) this.#stalled.push(pass);
      else pass();
    }, this.#arrival[from] - performance.now());
  }

  #isStalled(from: Side): boolean {
    return from === 'server' && this.#network.isStalled && !this.#isBroken;
  }

  #other(side: Side): End {
    return side === 'client' ? this.server : this.client;
  }
}

/** The socket of one side. */
class End extends Duplex {
  readonly #link: Link;
  readonly #side: Side;

  constructor(link: Link, side: Side) {
    super({ allowHalfOpen: true });
    this.#link = link;
    this.#side = side;
    this.on('error', () => {});
  }

  // Methods of sockets that node:http calls.
  setTimeout(): this {
    return this;
  }
  setNoDelay(): void {}
  setKeepAlive(): void {}
  ref(): void {}
  unref(): void {}

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, taken: () => void): void {
    this.#link.pass(this.#side, chunk, taken);
  }

  override _final(done: () => void): void {
    this.#link.finish(this.#side);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#link.destroy(this.#side);
    done(error);
  }
}

function reset(): Error {
  return Object.assign(new Error('reset'), { code: 'ECONNRESET' });
}
