import type { IncomingMessage, ServerResponse } from 'node:http';
import { SseClient } from '../../lib/client/index';
import { createSseMiddleware } from '../../lib/index';
import type { SseConnection, SseMiddleware } from '../../lib/index';
import { createFaultyEngine } from '../helpers/faulty-engine';
import type { EngineFault, FaultyEngine } from '../helpers/faulty-engine';
import { MemoryEngine, MemoryStore } from '../helpers/memory-engine';
import { createRandom } from '../helpers/random';
import type { Random } from '../helpers/random';
import { SimulatedNetwork } from '../helpers/simulated-network';
import { VirtualClock } from '../helpers/virtual-clock';
import { closeNodes, runSimulations } from './simulations';
import type { Simulation } from './simulations';

/** Short timeouts, so that a run of a few dozen steps reaches all of them. */
const OPTIONS = { heartbeatInterval: 1_000, reconnectTimeout: 60_000, reconnectJitter: 100 };

/** Methods after which a node is killed, while the engine has applied the call and the node does not know. */
const BOUNDARIES = [
  'open',
  'claim',
  'take',
  'commit',
  'read',
  'release',
  'broadcast',
  'readBroadcasts',
];

/** A sum that depends on the order of all numbers before. */
function link(chain: number, number: number): number {
  return (Math.imul(chain, 31) + number + 7) | 0;
}

type Up = number;
type Down = { echo: number; chain: number } | { from: string; broadcast: number };

interface ModelNode {
  name: string;
  sse: SseMiddleware<Up, Down, IncomingMessage>;
  engine: FaultyEngine;
  memory: MemoryEngine;
  responses: Set<ServerResponse>;
  /** Whether requests are sent to it. */
  isAlive: boolean;
  isKilled: boolean;
  /** Time until which it does not reach the engine. */
  partitionedUntil: number;
  broadcasts: number;
}

interface ModelClient {
  client: SseClient<Down, Up>;
  sent: number;
  echoes: number;
  chain: number;
  broadcasts: Map<string, number>;
}

/** Several nodes, clients and an engine on a simulated network and clock. */
class ClusterSimulation implements Simulation {
  readonly clock = new VirtualClock();
  readonly delay = 100;
  readonly network = new SimulatedNetwork();
  readonly store = new MemoryStore();
  readonly random: Random;
  readonly nodes: ModelNode[] = [];
  readonly clients: ModelClient[] = [];
  readonly violations: string[] = [];
  readonly trace: string[] = [];
  /** A node that this method's next reply is kept from, because it is killed. */
  #boundary: string | undefined;
  #names = 0;
  publishedShare = 1;
  faultShare = 0;
  mayKill = true;
  /** The code that the sessions are closed with at the end. */
  closeCode = 1000;

  constructor(seed: number) {
    this.random = createRandom(seed);
    this.clock.install();
    this.store.bornAt = -Infinity;
    for (let i = 0; i < 3; i++) this.startNode();
    this.network.serve((request, response) => {
      const node = this.random.pick(this.alive);
      node.responses.add(response);
      response.on('close', () => node.responses.delete(response));
      node.sse(request, response, () => response.writeHead(404).end());
    });
    for (let i = 0; i < 2; i++) this.#openClient(i);
  }

  get alive(): ModelNode[] {
    return this.nodes.filter(({ isAlive }) => isAlive);
  }

  startNode(): void {
    const name = `n${this.#names++}`;
    const memory = new MemoryEngine(this.store);
    const engine = createFaultyEngine(memory, () => memory.disconnect());
    const sse = createSseMiddleware<Up, Down, IncomingMessage>('/sse', {
      ...OPTIONS,
      cluster: engine,
    });
    const node: ModelNode = {
      name,
      sse,
      engine,
      memory,
      responses: new Set(),
      isAlive: true,
      isKilled: false,
      partitionedUntil: 0,
      broadcasts: 0,
    };
    engine.fault = (): EngineFault => {
      if (this.clock.now < node.partitionedUntil) return 'lose';
      if (this.random.next() >= this.faultShare) return 'none';
      return this.random.pick(['lose', 'lose-reply'] as const);
    };
    engine.isPublished = () =>
      this.clock.now >= node.partitionedUntil && this.random.next() < this.publishedShare;
    engine.onApplied = (method) => {
      if (method !== this.#boundary || this.alive.length === 1) return;
      this.#boundary = undefined;
      this.kill(node);
    };
    sse.on('connection', (connection) => this.#accept(node, connection));
    this.nodes.push(node);
  }

  #accept(node: ModelNode, connection: SseConnection<Up, Down>): void {
    connection.join('room');
    connection.on('message', (number) => {
      if (node.isKilled) return;
      const chain = link((connection.state as number | undefined) ?? 0, number);
      connection.state = chain;
      if (this.mayKill && node.isAlive && this.random.next() < 0.05 && this.alive.length > 1)
        this.kill(node); // in the middle of the listener
      connection.send({ echo: number, chain });
    });
    connection.on('close', (code, reason) => {
      const isExpected = node.isKilled || code === this.closeCode;
      if (!isExpected) this.violations.push(`${node.name} closed a session: ${code} ${reason}`);
    });
    if (this.random.next() < 0.1) {
      connection.pause();
      setTimeout(() => connection.resume(), 500);
    }
  }

  #openClient(index: number): void {
    const client = new SseClient<Down, Up>('http://server/sse', {
      fetch: this.network.fetch,
      transport: 'stream',
      backoff: (attempt) => Math.min(200, 5 * 2 ** attempt),
    });
    const state: ModelClient = { client, sent: 0, echoes: 0, chain: 0, broadcasts: new Map() };
    client.onerror = () => {}; // the faults are expected
    client.onmessage = ({ data }) => this.#receive(index, state, data);
    client.onsessionlost = ({ reason }) => this.violations.push(`client ${index} lost: ${reason}`);
    client.onclose = ({ code, reason }) => {
      if (code !== this.closeCode)
        this.violations.push(`client ${index} closed: ${code} ${reason}`);
    };
    this.clients.push(state);
  }

  #receive(index: number, state: ModelClient, data: Down): void {
    if ('echo' in data) {
      state.chain = link(state.chain, state.echoes);
      if (data.echo !== state.echoes || data.chain !== state.chain) {
        this.violations.push(`client ${index}: ${data.echo} in place of ${state.echoes}`);
      }
      state.echoes++;
      return;
    }
    const last = state.broadcasts.get(data.from) ?? -1;
    if (data.broadcast !== last + 1) {
      this.violations.push(
        `client ${index}: broadcast ${data.from}.${data.broadcast} after ${last}`,
      );
    }
    state.broadcasts.set(data.from, data.broadcast);
  }

  kill(node: ModelNode): void {
    this.trace.push(`${Math.round(this.clock.now)}: ${node.name} is killed`);
    node.isAlive = false;
    node.isKilled = true;
    node.engine.kill();
    for (const response of node.responses) response.destroy();
    setTimeout(() => this.startNode(), 100);
  }

  broadcast(node: ModelNode): void {
    const isToRoom = this.random.next() < 0.5;
    const message = { from: node.name, broadcast: node.broadcasts++ };
    if (isToRoom) node.sse.to('room').send(message);
    else node.sse.broadcast(message);
  }

  async step(): Promise<void> {
    const { random, clock } = this;
    const roll = random.next();
    if (roll < 0.3) {
      const state = random.pick(this.clients);
      if (state.client.readyState === SseClient.CLOSED) return;
      for (let i = random.integer(1, 5); i > 0; i--) state.client.send(state.sent++);
    } else if (roll < 0.4) {
      this.broadcast(random.pick(this.alive));
    } else if (roll < 0.47 && this.alive.length > 1) {
      this.kill(random.pick(this.alive));
    } else if (roll < 0.55) {
      this.#boundary = random.pick(BOUNDARIES);
    } else if (roll < 0.6) {
      this.network.break({ noticedBy: random.pick(['both', 'client', 'server'] as const) });
    } else if (roll < 0.64) {
      this.publishedShare = random.pick([0, 0.5, 0.9, 1]);
    } else if (roll < 0.68) {
      this.faultShare = random.pick([0, 0.1, 0.5]);
    } else if (roll < 0.7 && this.alive.length > 1) {
      const node = random.pick(this.alive);
      this.trace.push(`${Math.round(clock.now)}: ${node.name} is shut down`);
      node.isAlive = false;
      void node.sse.close();
      setTimeout(() => this.startNode(), 100);
    } else if (roll < 0.72) {
      // A loss of data together with the loss of a node cannot be repaired, so the nodes get time to repair it.
      this.publishedShare = 1;
      this.faultShare = 0;
      await clock.advance(1_100); // messages that only the engine knows would be lost
      // Nor can its loss during a handover.
      const isOwned = [...this.store.sessions].every(([id, { owner }]) =>
        this.alive.some(({ memory, sse }) => memory.nodeId === owner && sse.connections.get(id)),
      );
      if (!isOwned || this.alive.some((node) => clock.now < node.partitionedUntil + 1_100)) return;
      this.trace.push(`${Math.round(clock.now)}: the engine is empty`);
      this.#boundary = undefined;
      this.mayKill = false;
      this.store.clear();
      await clock.advance(4_000);
      this.mayKill = true;
    } else if (roll < 0.74) {
      const node = random.pick(this.alive);
      node.partitionedUntil = clock.now + random.magnitude(100, 40_000);
      const until = Math.round(node.partitionedUntil);
      this.trace.push(`${Math.round(clock.now)}: ${node.name} is partitioned until ${until}`);
    } else {
      await clock.advance(random.magnitude(1, 3_000));
    }
  }

  /** Closes all sessions from one node, while the engine is slow and another node may be killed. */
  async #closeRoom(): Promise<void> {
    this.closeCode = 4000;
    this.faultShare = this.random.pick([0, 0.5]);
    this.publishedShare = this.random.pick([0, 0.5, 1]);
    const [sender, other] = this.alive as [ModelNode, ModelNode?];
    sender.sse.to('room').close(this.closeCode);
    await this.clock.advance(this.random.magnitude(1, 3_000));
    if (other) this.kill(other);
    await this.clock.advance(this.random.magnitude(1, 3_000));
    this.faultShare = 0;
    this.publishedShare = 1;
    await this.clock.advance(15_000);
    this.clients.forEach(({ client }, index) => {
      const { readyState } = client;
      if (readyState !== SseClient.CLOSED) this.violations.push(`client ${index} is not closed`);
    });
  }

  async finish(): Promise<void> {
    this.#boundary = undefined;
    this.publishedShare = 1;
    this.faultShare = 0;
    this.mayKill = false;
    for (const node of this.nodes) node.partitionedUntil = 0;
    const isComplete = () =>
      this.clients.every(({ sent, echoes, client }) => {
        return echoes === sent || client.readyState === SseClient.CLOSED;
      });
    for (let waited = 0; !isComplete() && waited < 120_000; waited += 500) {
      await this.clock.advance(500);
    }
    this.clients.forEach(({ sent, echoes }, index) => {
      if (echoes !== sent) this.violations.push(`client ${index}: ${echoes} of ${sent} echoes`);
    });
    await this.clock.advance(15_000); // a lost stream may have to be noticed first
    for (const { name, isAlive, broadcasts } of this.nodes) {
      if (!isAlive || broadcasts === 0) continue;
      this.clients.forEach((state, index) => {
        const last = state.broadcasts.get(name);
        if (last !== broadcasts - 1) {
          this.violations.push(
            `client ${index}: ${last} is the last of ${name}'s ${broadcasts} broadcasts`,
          );
        }
      });
    }
    if (this.random.next() < 0.5) {
      for (const { client } of this.clients) client.close();
      await this.clock.advance(5_000);
    } else {
      await this.#closeRoom();
    }
    await closeNodes(this.clock, this.nodes);
  }
}

/** Runs the model. Throws an error with the seed and the trace of the run that violates a guarantee. */
export function runClusterModel(seed: number, runs: number): Promise<void> {
  return runSimulations((each) => new ClusterSimulation(each), seed, runs);
}
