import type { IncomingMessage, ServerResponse } from 'node:http';
import { createSseMiddleware } from '../../lib/index';
import type { SseConnection, SseMiddleware } from '../../lib/index';
import { createFaultyEngine } from '../helpers/faulty-engine';
import type { EngineFault, FaultyEngine } from '../helpers/faulty-engine';
import { MemoryEngine, MemoryStore } from '../helpers/memory-engine';
import { createRandom } from '../helpers/random';
import type { Random } from '../helpers/random';
import { ScriptedDartClient } from '../helpers/scripted-dart-client';
import type { DartClientOwner } from '../helpers/scripted-dart-client';
import { SimulatedNetwork } from '../helpers/simulated-network';
import { VirtualClock } from '../helpers/virtual-clock';
import { closeNodes, runSimulations } from './simulations';
import type { Simulation } from './simulations';

const RECONNECT_TIMEOUT = 30_000;

/** Methods after which a node is killed, while the engine has applied the call and the node does not know. */
const BOUNDARIES = [
  'open',
  'replace',
  'claim',
  'takeMessage',
  'startNumbering',
  'commit',
  'read',
  'release',
];

/** The code with which the application closes the sessions at the end. */
const END = 4000;

/** What the application stores with a session. */
interface State {
  /** Number of the session, over all clients. */
  session: number;
  /** The last message that was handled. */
  last?: number;
}

type Down =
  { session: number } | { session: number; echo: number } | { from: string; broadcast: number };

interface ModelNode {
  name: string;
  sse: SseMiddleware<string, Down, IncomingMessage>;
  engine: FaultyEngine;
  responses: Set<ServerResponse>;
  isAlive: boolean;
  isKilled: boolean;
  /** Time until which it does not reach the engine. */
  partitionedUntil: number;
  broadcasts: number;
}

/** A client, and what it has received. */
class ModelClient implements DartClientOwner {
  readonly id: string;
  readonly client: ScriptedDartClient;
  /** The sessions that it has received messages of. */
  readonly sessions: number[] = [];
  /** Number of the last message that was echoed. */
  echo = -1;
  readonly #simulation: ClusterDartSimulation;
  /** The session of the last echo. */
  #echoSession: number | undefined;
  #token = '';
  #count = 0;
  readonly #broadcasts = new Map<string, number>();

  constructor(simulation: ClusterDartSimulation, index: number) {
    this.#simulation = simulation;
    this.id = `c${index}`;
    const { network, random } = simulation;
    this.client = new ScriptedDartClient(network, random, this.id, this);
  }

  get session(): number | undefined {
    return this.sessions.at(-1);
  }

  #violate(text: string): void {
    this.#simulation.violations.push(`client ${this.id}: ${text}`);
  }

  onMessage(token: string, count: number, message: Down): void {
    const isSame = token === this.#token;
    const expected = isSame ? this.#count + 1 : 1;
    if (count !== expected) this.#violate(`message ${count} in place of ${expected}`);
    this.#token = token;
    this.#count = count;
    if ('broadcast' in message) return this.#onBroadcast(message, isSame);
    if (!('echo' in message)) return void this.sessions.push(message.session);
    const { echo, session } = message;
    if (session !== this.session) this.#violate(`an echo of session ${session}`);
    // A session that replaces another one continues the numbering, and may lack what the other one had received.
    const isContinued = session === this.#echoSession || this.#simulation.isFirst(this.id, session);
    const isNext = isContinued ? echo === this.echo + 1 : echo > this.echo;
    if (!isNext) this.#violate(`echo ${echo} after ${this.echo}`);
    this.echo = echo;
    this.#echoSession = session;
  }

  #onBroadcast({ from, broadcast }: { from: string; broadcast: number }, isSame: boolean): void {
    const last = this.#broadcasts.get(from);
    const isNext = isSame && last !== undefined ? broadcast === last + 1 : broadcast > (last ?? -1);
    if (!isNext) this.#violate(`broadcast ${from}.${broadcast} after ${last}`);
    this.#broadcasts.set(from, broadcast);
  }

  onRejected(status: number, lastEventId: string | undefined): void {
    // Without its token, a client cannot prove that the session with its id is its own.
    if (status === 409 && lastEventId === undefined) return;
    this.#violate(`a GET with ${lastEventId} was rejected with ${status}`);
  }
}

/** Several nodes, clients of the Dart dialect and an engine on a simulated network and clock. */
class ClusterDartSimulation implements Simulation {
  readonly clock = new VirtualClock();
  readonly network = new SimulatedNetwork();
  readonly store = new MemoryStore();
  readonly random: Random;
  readonly nodes: ModelNode[] = [];
  readonly clients: ModelClient[] = [];
  readonly violations: string[] = [];
  readonly trace: string[] = [];
  /** Before or after the first GET. */
  readonly delay: number;
  readonly #maxReplayBytes: number;
  readonly #heartbeatInterval: number;
  /** A node that this method's next reply is kept from, because it is killed. */
  #boundary: string | undefined;
  #names = 0;
  #sessions = 0;
  /** The sessions that the servers have ended, apart from those that the application has closed. */
  readonly #ended = new Set<number>();
  /** The first session of each client. */
  readonly #firstSessions = new Map<string, number>();
  #publishedShare = 1;
  #faultShare = 0;
  /** Milliseconds until a call reaches the engine. */
  #engineDelay: number;
  #mayKill = true;
  #isLate = false;

  constructor(seed: number) {
    this.random = createRandom(seed);
    this.#maxReplayBytes = this.random.pick([1024 * 1024, 1024 * 1024, 500]);
    this.#heartbeatInterval = this.random.pick([1_000, 15_000]);
    this.#engineDelay = this.random.pick([0, 0, 50]);
    this.delay = this.random.pick([20, 70, 120]);
    this.clock.install();
    for (let i = 0; i < 3; i++) this.#startNode();
    this.network.serve((request, response) => {
      const node = this.random.pick(this.#alive);
      node.responses.add(response);
      response.on('close', () => node.responses.delete(response));
      node.sse(request, response, () => response.writeHead(404).end());
    });
    for (let i = 0; i < 2; i++) this.clients.push(new ModelClient(this, i));
  }

  get #alive(): ModelNode[] {
    return this.nodes.filter(({ isAlive }) => isAlive);
  }

  /** Whether a session is the first one of its client, which begins with message 0. */
  isFirst(id: string, session: number): boolean {
    return this.#firstSessions.get(id) === session;
  }

  #log(text: string): void {
    this.trace.push(`${Math.round(this.clock.now)}: ${text}`);
  }

  #startNode(): void {
    const memory = new MemoryEngine(this.store);
    const engine = createFaultyEngine(memory, () => memory.disconnect());
    const sse = createSseMiddleware<string, Down, IncomingMessage>('/sse', {
      cluster: engine,
      warnings: false,
      heartbeatInterval: this.#heartbeatInterval,
      reconnectTimeout: RECONNECT_TIMEOUT,
      reconnectJitter: 100,
      reorderTimeout: 5_000,
      maxReplayBytes: this.#maxReplayBytes,
    });
    const node: ModelNode = {
      name: `n${this.#names++}`,
      sse,
      engine,
      responses: new Set(),
      isAlive: true,
      isKilled: false,
      partitionedUntil: 0,
      broadcasts: 0,
    };
    const isPartitioned = () => this.clock.now < node.partitionedUntil;
    engine.fault = (): EngineFault => {
      if (isPartitioned()) return 'lose';
      if (this.random.next() >= this.#faultShare) return 'none';
      return this.random.pick(['lose', 'lose-reply'] as const);
    };
    engine.isPublished = () => !isPartitioned() && this.random.next() < this.#publishedShare;
    engine.delay = () => this.#engineDelay;
    engine.onApplied = (method) => {
      if (method !== this.#boundary || this.#alive.length === 1) return;
      this.#boundary = undefined;
      this.#kill(node);
    };
    sse.on('connection', (connection) => this.#accept(node, connection));
    this.nodes.push(node);
  }

  #accept(node: ModelNode, connection: SseConnection<string, Down>): void {
    if (connection.state === undefined) {
      const session = this.#sessions++;
      connection.state = { session };
      connection.send({ session });
      const { first, next } = this.store.sessions.get(connection.id)?.numbering ?? {};
      // A node that was killed while it replaced a session has told no application of it.
      const isReplacement = next === undefined || first !== 0;
      if (!isReplacement && !this.#firstSessions.has(connection.id))
        this.#firstSessions.set(connection.id, session);
    }
    const stateOf = () => connection.state as State;
    const { session } = stateOf();
    this.#log(`${node.name} has session ${session} of ${connection.id}`);
    connection.on('message', (text) => {
      if (node.isKilled) return;
      const number = Number(text);
      const { last } = stateOf();
      const isFirst = this.isFirst(connection.id, session);
      const isNext = last === undefined ? !isFirst || number === 0 : number === last + 1;
      if (!isNext) this.violations.push(`session ${session}: message ${number} after ${last}`);
      connection.state = { session, last: number };
      if (this.#mayKill && node.isAlive && this.random.next() < 0.03 && this.#alive.length > 1)
        this.#kill(node); // in the middle of the listener
      connection.send({ session, echo: number });
    });
    connection.on('close', (code, reason) => {
      if (!node.isKilled) this.#onClose(node, connection.id, session, code, reason);
    });
  }

  #onClose(node: ModelNode, id: string, session: number, code: number, reason: string): void {
    this.#log(`${node.name} closed session ${session} of ${id}: ${code} ${reason}`);
    if (code === END) return;
    this.#ended.add(session);
    const owner = this.clients.find((each) => each.id === id);
    if (!owner) return;
    const { client } = owner;
    const isCurrent = owner.session === session && !client.isClosed;
    const awayFor = this.clock.now - client.lostAt;
    const missing = /^message (\d+) did not arrive/.exec(reason)?.[1];
    const isAllowed =
      missing !== undefined
        ? code === 1002 &&
          (!this.isFirst(id, session) || client.statuses.get(Number(missing)) !== 200)
        : reason.startsWith('the client did not reconnect')
          ? code === 1006 && (!isCurrent || awayFor >= RECONNECT_TIMEOUT)
          : code === 1006 && (!isCurrent || this.#maxReplayBytes < 1_000);
    if (!isAllowed) this.violations.push(`session ${session} of ${id} ended: ${code} ${reason}`);
  }

  #kill(node: ModelNode): void {
    this.#log(`${node.name} is killed`);
    node.isAlive = false;
    node.isKilled = true;
    node.engine.kill();
    for (const response of node.responses) response.destroy();
    setTimeout(() => this.#startNode(), 100);
  }

  #send({ client }: ModelClient, count: number): void {
    for (let i = 0; i < count; i++) {
      const isSlow = this.#isLate && this.random.next() < 0.3;
      if (isSlow) this.network.plan({ method: 'POST', late: this.random.magnitude(1, 3_000) });
      client.send();
    }
  }

  async step(): Promise<void> {
    const { random, clock } = this;
    const roll = random.next();
    if (roll < 0.35) {
      const target = random.pick(this.clients);
      if (!target.client.isClosed) this.#send(target, random.magnitude(1, 40));
    } else if (roll < 0.42) {
      const node = random.pick(this.#alive);
      node.sse.broadcast({ from: node.name, broadcast: node.broadcasts++ });
    } else if (roll < 0.47 && this.#alive.length > 1) {
      this.#kill(random.pick(this.#alive));
    } else if (roll < 0.53) {
      this.#boundary = random.pick(BOUNDARIES);
    } else if (roll < 0.6) {
      this.#log('all connections break');
      this.network.break({ noticedBy: 'both' }, random.pick([undefined, 'GET', 'POST'] as const));
    } else if (roll < 0.62) {
      const bytes = random.magnitude(1, 400);
      this.network.plan({
        method: 'GET',
        breakAfter: { from: 'server', bytes, noticedBy: 'both' },
      });
      if (random.next() < 0.5) this.network.break({ noticedBy: 'both' }, 'GET');
    } else if (roll < 0.64) {
      // What is sent in the meantime is lost with the stream.
      this.network.stall(true);
      await clock.advance(random.magnitude(1, 1_000));
      this.#log('the streams are cut with what they hold back');
      this.network.break({ noticedBy: 'both' });
      this.network.stall(false);
    } else if (roll < 0.66) {
      this.#publishedShare = random.pick([0, 0.5, 0.9, 1]);
    } else if (roll < 0.69) {
      this.#faultShare = random.pick([0, 0.1, 0.5]);
      this.#engineDelay = random.pick([0, 0, 5, 50]);
    } else if (roll < 0.71) {
      this.#isLate = random.next() < 0.5;
    } else if (roll < 0.73 && this.#alive.length > 1) {
      const node = random.pick(this.#alive);
      this.#log(`${node.name} is shut down`);
      node.isAlive = false;
      void node.sse.close();
      setTimeout(() => this.#startNode(), 100);
    } else if (roll < 0.75) {
      const node = random.pick(this.#alive);
      node.partitionedUntil = clock.now + random.magnitude(100, 20_000);
      this.#log(`${node.name} is partitioned until ${Math.round(node.partitionedUntil)}`);
    } else {
      await clock.advance(random.magnitude(1, 3_000));
    }
  }

  async finish(): Promise<void> {
    this.#log('no more faults');
    this.#boundary = undefined;
    this.#publishedShare = 1;
    this.#faultShare = 0;
    this.#engineDelay = 0;
    this.#mayKill = false;
    this.#isLate = false;
    this.network.heal();
    for (const node of this.nodes) node.partitionedUntil = 0;
    await this.clock.advance(25_000); // the lease of a killed node, and the time of a missing message
    const open = this.clients.filter(({ client }) => !client.isClosed);
    for (const each of open) this.#send(each, 3);
    await this.clock.advance(15_000);
    for (const { id, client, echo, sessions } of open) {
      if (client.isClosed) continue; // a message was missing
      const { sent } = client;
      if (echo !== sent - 1) this.violations.push(`client ${id}: echo ${echo} of ${sent} messages`);
      const ended = sessions.filter((session) => this.#ended.has(session));
      if (ended.length < sessions.length - 1)
        this.violations.push(`client ${id}: only ${ended.join()} of ${sessions.join()} have ended`);
    }
    for (const { client, session } of open) {
      if (this.random.next() < 0.5) client.close();
      else if (session !== undefined) this.#alive[0]!.sse.session(`c${open.length}`).close(END);
    }
    for (const { client } of this.clients) client.close();
    await this.clock.advance(RECONNECT_TIMEOUT + 40_000);
    const left = [...this.store.sessions.keys()];
    if (left.length > 0) this.violations.push(`sessions that stay in the engine: ${left.join()}`);
    await closeNodes(this.clock, this.nodes);
  }
}

/** Runs the model. Throws an error with the seed and the trace of the run that violates a guarantee. */
export function runClusterDartModel(seed: number, runs: number): Promise<void> {
  return runSimulations((each) => new ClusterDartSimulation(each), seed, runs);
}
