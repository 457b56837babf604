import { CloseCode, checkClose } from '../protocol/close-code';
import type { EncodedMessage } from '../protocol/message';
import type { Close } from '../protocol/wire';
import { PreparedMessage } from './batch';
import type { Broadcast, PositionedBroadcast } from './cluster-engine';
import { ClusterSessions } from './cluster-sessions';
import type { LocalSessions } from './local-sessions';
import { Heartbeat } from './heartbeat';
import type { ResolvedOptions } from './options';
import { encodeMessage } from './message';
import { Rooms } from './rooms';
import { Session } from './session';
import { matches } from './session-log';
import type { SessionInit, SessionOwner } from './session-owner';
import type { SseConnection } from './sse-connection';

/**
 * The connections of a middleware: its sessions, including those whose stream is lost and that may be
 * resumed. Iterable, in the order in which they were opened.
 */
export interface SseConnections<Connection> extends Iterable<Connection> {
  /** Number of connections. */
  readonly size: number;
  /** Returns the connection with this session id, or undefined if there is none. */
  get(id: string): Connection | undefined;
}

/** Counts of a middleware. */
export interface SseStats {
  /** Number of connections now. */
  connections: number;
  /** Number of sessions that have a stream now, or whose client polls. */
  connected: number;
  /** Bytes that were sent and that no socket has accepted yet, in all sessions. */
  bufferedAmount: number;
  /** Number of sessions opened since the middleware was created. */
  opened: number;
  /** Number of reconnections to a session since the middleware was created. */
  resumed: number;
  /** Number of requests that were rejected since the middleware was created. */
  clientErrors: number;
}

/** All sessions of a middleware. */
export class SessionRegistry implements SessionOwner, LocalSessions {
  readonly path: string;
  readonly options: ResolvedOptions;
  readonly heartbeat: Heartbeat;
  readonly rooms = new Rooms<SseConnection>();
  /** The sessions of all nodes, with the option `cluster`. */
  readonly cluster: ClusterSessions | undefined;
  /** What {@link SseStats} counts since the middleware was created. */
  readonly counts = { opened: 0, resumed: 0, clientErrors: 0 };
  readonly #sessions = new Map<string, Session>();
  /** The connections of the sessions that are not closed. */
  readonly #connections = new Map<string, SseConnection>();
  #isClosing = false;
  readonly #onEmpty = new Set<() => void>();

  readonly #onRecovered: (session: Session) => void;

  /** @param onRecovered is called with each session that this node takes over. */
  constructor(path: string, options: ResolvedOptions, onRecovered: (session: Session) => void) {
    this.path = path;
    this.options = options;
    this.heartbeat = new Heartbeat(options.heartbeatInterval);
    this.#onRecovered = onRecovered;
    this.cluster = options.cluster && new ClusterSessions(options.cluster, this);
  }

  [Symbol.iterator](): Iterator<Session> {
    return [...this.#sessions.values()].values();
  }

  get connections(): SseConnections<SseConnection> {
    const connections = this.#connections;
    return {
      get size() {
        return connections.size;
      },
      get: (id) => connections.get(id),
      [Symbol.iterator]: () => connections.values(),
    };
  }

  find(id: string): Session | undefined {
    return this.#sessions.get(id);
  }

  /**
   * Whether a session may be opened.
   *
   * @param replaced the session that it replaces, and that does not count.
   */
  mayOpen(replaced?: Session): boolean {
    const others = this.#sessions.size - (replaced ? 1 : 0);
    return !this.#isClosing && others < this.options.maxConnections;
  }

  /**
   * Opens a session.
   *
   * @param replaced a session of this node with the same id, which has been closed.
   * @returns a promise only in a cluster. It resolves with undefined if another node has a session with this id.
   */
  open(init: SessionInit, replaced?: Session): Promise<Session | undefined> | Session {
    const count = <Opened extends Session | undefined>(session: Opened): Opened => {
      if (session) this.counts.opened++;
      return session;
    };
    return this.cluster?.claims.open(init, replaced).then(count) ?? count(this.add(init));
  }

  add(init: SessionInit): Session {
    const session = new Session(this, init);
    this.#sessions.set(init.id, session);
    this.#connections.set(init.id, session.connection);
    return session;
  }

  onRecovered(session: Session): void {
    this.#onRecovered(session);
  }

  onSessionClosed({ id, connection }: Session): void {
    if (this.#connections.get(id) === connection) this.#connections.delete(id);
    this.rooms.leaveAll(connection);
  }

  onSessionReleased(session: Session): void {
    if (this.#sessions.get(session.id) === session) this.#sessions.delete(session.id);
    this.cluster?.removals.onReleased(session);
    if (this.#sessions.size > 0) return;
    for (const callback of this.#onEmpty) callback();
  }

  onSessionEnded(session: Session): void {
    void this.cluster?.removals.remove(session);
  }

  /** @throws TypeError if the message is neither binary nor JSON-serialisable. */
  broadcast(message: unknown, filter?: (connection: SseConnection) => boolean): void {
    const encoded = encodeMessage(message);
    if (this.cluster) {
      if (filter) throw filterInCluster();
      return this.cluster.node.broadcast({ message: encoded });
    }
    const sessions = filter
      ? [...this.#sessions.values()].filter(({ connection }) => filter(connection))
      : this.#sessions.values();
    this.#sendToAll(encoded, sessions);
  }

  /**
   * Sends a message to the members of a room.
   *
   * @throws TypeError if the message is neither binary nor JSON-serialisable.
   */
  sendToRoom(room: string, message: unknown, except?: SseConnection): void {
    const encoded = encodeMessage(message);
    if (this.cluster) {
      return this.cluster.node.broadcast({ message: encoded, ...membersOf(room, except) });
    }
    this.#sendToAll(encoded, this.#membersOf(room, except?.id));
  }

  /**
   * Sends a message to the session with this id, if there is one.
   *
   * @throws TypeError if the message is neither binary nor JSON-serialisable.
   */
  sendToSession(id: string, message: unknown): void {
    const encoded = encodeMessage(message);
    if (this.cluster) this.cluster.node.broadcast({ message: encoded, session: id });
    const session = this.cluster ? undefined : this.find(id);
    if (session) this.#sendToAll(encoded, [session]);
  }

  #membersOf(room: string, except?: string): Session[] {
    const sessions: Session[] = [];
    for (const { id } of this.rooms.membersOf(room)) {
      const session = id === except ? undefined : this.#sessions.get(id);
      if (session) sessions.push(session);
    }
    return sessions;
  }

  /**
   * Closes the sessions of the members of a room.
   *
   * @throws RangeError if the code or the reason is invalid.
   */
  closeRoom(room: string, close: Close, except?: SseConnection): void {
    checkClose(close);
    if (this.cluster) return this.cluster.node.broadcast({ close, ...membersOf(room, except) });
    for (const session of this.#membersOf(room, except?.id)) session.lifecycle.close(close);
  }

  /**
   * Closes the session with this id, if there is one.
   *
   * @throws RangeError if the code or the reason is invalid.
   */
  closeSession(id: string, close: Close): void {
    checkClose(close);
    if (this.cluster) this.cluster.node.broadcast({ close, session: id });
    else this.find(id)?.lifecycle.close(close);
  }

  deliverBroadcast(broadcast: PositionedBroadcast): void {
    const { message, close, room } = broadcast;
    const candidates = room === undefined ? this : this.#membersOf(room);
    const inRoom = { has: () => true }; // with a room, all candidates are members
    const sessions = [...candidates].filter(
      (each) => matches(broadcast, each.id, inRoom) && each.recordBroadcast(broadcast),
    );
    if (message !== undefined) this.#sendToAll(message, sessions);
    // No later broadcast reaches them, although earlier changes of a session may still be postponed.
    if (close) for (const { lifecycle } of sessions) lifecycle.closeAfterQueued(close);
  }

  #sendToAll(message: EncodedMessage, sessions: Iterable<Session>): void {
    const prepared = new PreparedMessage(message);
    // Sessions that fail are closed only after the message was sent to all others, so that what their `close` listeners
    // send follows the message in all sessions.
    const failing: Session[] = [];
    for (const session of sessions) {
      if (!session.sendPrepared(prepared)) failing.push(session);
    }
    for (const session of failing) session.failBroadcast(prepared);
  }

  /** @throws RangeError if the code or the reason is invalid. */
  async close(code: number, reason: string): Promise<void> {
    checkClose({ code, reason });
    this.#isClosing = true;
    this.cluster?.claims.stop();
    const isRestart = code === CloseCode.serviceRestart;
    // Other nodes continue the sessions.
    if (isRestart && this.cluster) return this.cluster.leave();
    const close = isRestart
      ? { code, reason, retry: this.options.reconnectJitter }
      : { code, reason };
    for (const session of [...this.#sessions.values()]) {
      session.lifecycle.close(close);
      session.inOrder(() => {
        if (!session.connected) session.lifecycle.terminate(close);
      });
    }
    await this.#whenEmpty(this.options.drainTimeout);
    for (const session of [...this.#sessions.values()]) session.lifecycle.terminate(close);
    await this.cluster?.stop();
  }

  /** Resolves when no session is left, or after `timeout` milliseconds. */
  async #whenEmpty(timeout: number): Promise<void> {
    if (this.#sessions.size === 0) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#onEmpty.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeout).unref();
      this.#onEmpty.add(done);
    });
  }

  stats(): SseStats {
    let connected = 0;
    let bufferedAmount = 0;
    for (const session of this.#sessions.values()) {
      if (session.connected) connected++;
      bufferedAmount += session.bufferedAmount;
    }
    return { connections: this.#connections.size, connected, bufferedAmount, ...this.counts };
  }
}

/** Returns the conditions of a broadcast for the members of a room. */
function membersOf(room: string, except?: SseConnection): Pick<Broadcast, 'room' | 'except'> {
  return except ? { room, except: except.id } : { room };
}

function filterInCluster(): TypeError {
  return new TypeError(
    'with the option "cluster", broadcast() accepts no filter, because a function cannot be sent to the other ' +
      'nodes: use rooms, with connection.join(room) and sse.to(room).send(message)',
  );
}
