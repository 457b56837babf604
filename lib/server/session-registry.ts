import type { IncomingMessage } from 'node:http';
import { CloseCode, validateClose } from '../protocol/close-code';
import { toJson } from '../protocol/json';
import { PreparedMessage } from './batch';
import type { Dialect } from './dialect';
import { Heartbeat } from './heartbeat';
import type { ResolvedOptions } from './options';
import { Rooms } from './rooms';
import { Session } from './session';
import type { SessionOwner } from './session-owner';
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
  /** Number of sessions now. */
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
export class SessionRegistry implements SessionOwner {
  readonly path: string;
  readonly options: ResolvedOptions;
  readonly heartbeat: Heartbeat;
  readonly rooms = new Rooms<SseConnection>();
  /** What {@link SseStats} counts since the middleware was created. */
  readonly counts = { opened: 0, resumed: 0, clientErrors: 0 };
  readonly #sessions = new Map<string, Session>();
  /** Without the sessions that are closed. */
  readonly #connections = new Map<string, SseConnection>();
  #isClosing = false;
  readonly #onEmpty = new Set<() => void>();

  constructor(path: string, options: ResolvedOptions) {
    this.path = path;
    this.options = options;
    this.heartbeat = new Heartbeat(options.heartbeatInterval);
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

  /** Whether another session may be opened. */
  get hasCapacity(): boolean {
    return !this.#isClosing && this.#sessions.size < this.options.maxConnections;
  }

  /** @param firstNumber number of the client's first message: see `ReorderBuffer`. */
  open(
    id: string,
    dialect: Dialect,
    principal: string | undefined,
    request: IncomingMessage,
    firstNumber: 0 | 'unknown',
  ): Session {
    const session = new Session(this, id, dialect, principal, request, firstNumber);
    this.#sessions.set(id, session);
    this.#connections.set(id, session.connection);
    this.counts.opened++;
    return session;
  }

  onSessionClosed({ id, connection }: Session): void {
    if (this.#connections.get(id) === connection) this.#connections.delete(id);
    this.rooms.leaveAll(connection);
  }

  onSessionReleased(session: Session): void {
    if (this.#sessions.get(session.id) === session) this.#sessions.delete(session.id);
    if (this.#sessions.size > 0) return;
    for (const callback of this.#onEmpty) callback();
  }

  /** @throws TypeError if the message is not JSON-serialisable. */
  broadcast(message: unknown, filter?: (connection: SseConnection) => boolean): void {
    const json = toJson(message);
    const sessions = filter
      ? [...this.#sessions.values()].filter(({ connection }) => filter(connection))
      : this.#sessions.values();
    this.#sendToAll(json, sessions);
  }

  /**
   * Sends a message to the members of a room.
   *
   * @throws TypeError if the message is not JSON-serialisable.
   */
  sendToRoom(room: string, message: unknown, except?: SseConnection): void {
    const json = toJson(message);
    const sessions: Session[] = [];
    for (const connection of this.rooms.membersOf(room)) {
      const session = connection === except ? undefined : this.#sessions.get(connection.id);
      if (session) sessions.push(session);
    }
    this.#sendToAll(json, sessions);
  }

  #sendToAll(json: string, sessions: Iterable<Session>): void {
    const prepared = new PreparedMessage(json);
    // A session that exceeds its limit closes only after all others have the message: its `close` listener
    // may send, and all clients must receive that afterwards.
    const overflowing: Session[] = [];
    for (const session of sessions) {
      if (!session.sendPrepared(prepared)) overflowing.push(session);
    }
    for (const session of overflowing) session.failIfOverflowing();
  }

  /** @throws RangeError if the code or the reason is invalid. */
  async close(code: number, reason: string): Promise<void> {
    const error = validateClose(code, reason);
    if (error !== undefined) throw new RangeError(error);
    this.#isClosing = true;
    const isRestart = code === CloseCode.serviceRestart;
    const close = isRestart
      ? { code, reason, retry: this.options.reconnectJitter }
      : { code, reason };
    for (const session of [...this.#sessions.values()]) {
      if (session.connected) session.close(close);
      else session.terminate(close);
    }
    await this.#whenEmpty(this.options.drainTimeout);
    for (const session of [...this.#sessions.values()]) session.terminate(close);
  }

  /** Settles when no session is left, or after `timeout` milliseconds. */
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
