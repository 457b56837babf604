import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** What a partition holds back. */
export interface Partition {
  /** Towards the engine. */
  up: boolean;
  /** From the engine. */
  down: boolean;
  /** Only on connections that carry subscriptions. */
  onlySubscriptions: boolean;
}

interface Link {
  node: Socket;
  engine: Socket;
  isSubscription: boolean;
}

/** The network between one node and the engine: what a partition holds back arrives when it ends, as TCP does it. */
export class StallingProxy {
  #partition: Partition | undefined;
  readonly #links = new Set<Link>();
  readonly #server;

  private constructor(enginePort: number) {
    this.#server = createServer((node) => {
      const engine = connect(enginePort, '127.0.0.1');
      const link: Link = { node, engine, isSubscription: false };
      this.#links.add(link);
      node.on('data', (chunk: Buffer) => {
        link.isSubscription ||= /subscribe/i.test(chunk.toString('latin1'));
        engine.write(chunk);
        this.#apply(link);
      });
      engine.on('data', (chunk: Buffer) => void node.write(chunk));
      const close = () => {
        node.destroy();
        engine.destroy();
        this.#links.delete(link);
      };
      for (const socket of [node, engine]) socket.on('error', () => {}).on('close', close);
      this.#apply(link);
    });
  }

  static async start(enginePort: number): Promise<StallingProxy> {
    const proxy = new StallingProxy(enginePort);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Begins or ends a partition. */
  set(partition: Partition | undefined): void {
    this.#partition = partition;
    for (const link of this.#links) this.#apply(link);
  }

  #apply({ node, engine, isSubscription }: Link): void {
    const partition = this.#partition;
    const isAffected = partition && (isSubscription || !partition.onlySubscriptions);
    if (isAffected && partition.up) node.pause();
    else node.resume();
    if (isAffected && partition.down) engine.pause();
    else engine.resume();
  }

  stop(): void {
    this.#server.close();
    for (const { node } of this.#links) node.destroy();
  }
}
