import { CloseCode } from '../protocol/close-code';
import type {
  ClusterEngine,
  PositionedBroadcast,
  RecordedMessages,
  SessionOwnership,
} from './cluster-engine';
import { ClusterNode } from './cluster-node';
import type { NodeSessions } from './node-sessions';
import { ClusterPosts } from './cluster-posts';
import { diagnose } from './diagnostics';
import { dialects } from './dialect';
import type { JournalStart } from './journal-node';
import { createPlaceholderRequest } from './node-http';
import type { ResolvedOptions } from './options';
import { engineUnavailable, ownerUncertain } from './request-error';
import type { Session } from './session';
import type { SessionInit } from './session-owner';
import { SessionLog } from './session-log';
import { SessionLookup, askEngine } from './session-lookup';
import type { SessionProof } from './session-lookup';
import { SessionToken } from './session-token';
import { createStoredSession } from './stored-session';
import { wait, waitAtMost } from './wait';

/** Time in milliseconds that the owner of a session has to release it for another node. */
const HANDOVER_TIMEOUT = 500;
/** Time in milliseconds that an application has to handle the messages of a session that has ended. */
const HANDLING_TIMEOUT = 30_000;

/** What a cluster needs of the sessions that this node owns. */
export interface LocalSessions extends Iterable<Session> {
  /** Path of the middleware, for diagnostics. */
  readonly path: string;
  readonly options: ResolvedOptions;
  find(id: string): Session | undefined;
  /** Adds a session. */
  add(init: SessionInit): Session;
  /** Sends a broadcast to the sessions that it is for. */
  deliverBroadcast(broadcast: PositionedBroadcast): void;
  /** Emits `connection` for a session that this node has taken over. */
  onRecovered(session: Session): void;
}

/** Opens, claims, releases and adopts sessions of the cluster, for one node. */
export class ClusterSessions implements NodeSessions {
  readonly node: ClusterNode;
  /** Records the POSTs that the owner of a session does not handle itself. */
  readonly posts: ClusterPosts;
  readonly #engine: ClusterEngine;
  readonly #lookup: SessionLookup;
  readonly #local: LocalSessions;
  /** The claims that are in progress at this node, by session id. */
  readonly #claims = new Map<string, Promise<unknown>>();
  /** The sessions that are being opened or removed at this node. */
  readonly #pending = new Set<Promise<unknown>>();
  #isLeaving = false;
  /** Callbacks of claims that wait for the owner's answer, by session id: whether it has released the session. */
  readonly #releases = new Map<string, (isReleased: boolean) => void>();

  constructor(engine: ClusterEngine, local: LocalSessions) {
    this.#engine = engine;
    this.#local = local;
    this.node = new ClusterNode(engine, this);
    this.#lookup = new SessionLookup(this.node);
    this.posts = new ClusterPosts(engine, this.#lookup, local.options);
  }

  /**
   * Opens a session.
   *
   * @param replaced a session of this node with the same id, which has been closed.
   * @returns undefined if a session with this id exists.
   */
  async open(init: Omit<SessionInit, 'cluster'>, replaced?: Session): Promise<Session | undefined> {
    const opening = this.#open(init, replaced);
    const settled = opening.catch(() => this.#adoptLater(init.id));
    this.#pending.add(settled);
    try {
      return await opening;
    } finally {
      this.#pending.delete(settled);
    }
  }

  async #open(
    init: Omit<SessionInit, 'cluster'>,
    replaced: Session | undefined,
  ): Promise<Session | undefined> {
    const { id, firstNumber } = init;
    await this.#lookup.whenReady();
    const { position } = this.node;
    const stopObserving = this.node.observeBroadcasts();
    const session = createStoredSession(init, position, (replaced?.journal?.epoch ?? 0) + 1);
    const opening = askEngine(async () => {
      const { dialect, tokenHash, principal } = session;
      const identity = { dialect, tokenHash, principal, position };
      if (!replaced) return this.#engine.open(id, identity, firstNumber);
      replaced.journal?.stop();
      await this.#engine.restore(id, session);
      return true;
    });
    const isOpened = await opening.finally(stopObserving);
    if (!isOpened) return undefined;
    const start = { ...session, log: SessionLog.restore(id, session, stopObserving()) };
    const cluster = { node: this.node, start, isResumed: false, isRecovered: false };
    return this.#local.add({ ...init, cluster });
  }

  /**
   * Makes this node the owner of a session. Several claims of a session at this node run one after another.
   *
   * @param isWanted returns whether the client still waits for the session.
   * @returns undefined if there is no such session, or if it does not belong to the client.
   */
  async claim(
    id: string,
    proof: SessionProof,
    request: SessionInit['request'],
    isWanted: () => boolean,
  ): Promise<Session | undefined> {
    return this.#claimInTurn(id, () => this.#claim(id, proof, request, isWanted));
  }

  async #claimInTurn<Result>(id: string, claim: () => Promise<Result>): Promise<Result> {
    await this.#lookup.whenReady();
    try {
      return await this.#inTurn(id, () => askEngine(claim));
    } catch (error) {
      this.#adoptLater(id);
      throw error;
    }
  }

  /** Calls `claim` when the other claims of this session at this node are settled. */
  async #inTurn<Result>(id: string, claim: () => Promise<Result>): Promise<Result> {
    for (let previous; (previous = this.#claims.get(id));) await previous;
    const claiming = claim();
    const settled = claiming.catch(() => {});
    this.#claims.set(id, settled);
    try {
      return await claiming;
    } finally {
      this.#claims.delete(id);
    }
  }

  async #claim(
    id: string,
    proof: SessionProof,
    request: SessionInit['request'],
    isWanted: () => boolean,
  ): Promise<Session | undefined> {
    for (let found; (found = await this.#lookup.findOwn(id, proof));) {
      const { owner, epoch, token } = found;
      const local = this.#local.find(id);
      if (local && owner === this.node.id && local.journal?.epoch === epoch) return local;
      local?.onMoved();
      if (!isWanted()) return undefined;
      if (this.#isLeaving) throw engineUnavailable();
      if (owner !== '' && owner !== this.node.id) await this.#waitForRelease(owner, id, false);
      // From here on no other node is responsible for the session.
      const session = await this.#takeOver(id, found, token, request);
      if (session) return session; // else another node has claimed it first
    }
    return undefined;
  }

  /**
   * Dart dialect: makes this node the owner of a session of another one, if it has no stream there, and replaces it.
   *
   * @param isWanted see {@link claim}.
   * @param replace ends the session, and opens another one with the same id.
   * @returns undefined if it has a stream, or if it does not belong to the principal.
   * @throws SseRequestError if that is uncertain.
   */
  async claimWithoutStream(
    { id, principal, request }: Pick<SessionInit, 'id' | 'principal' | 'request'>,
    isWanted: () => boolean,
    replace: (session: Session) => Promise<Session | undefined>,
  ): Promise<Session | undefined> {
    return this.#claimInTurn(id, async () => {
      const found = await this.#engine.find(id);
      if (!found) throw ownerUncertain();
      if (found.dialect !== 'dart' || found.principal !== principal) return undefined;
      // An earlier attempt of this node may have claimed it and then failed.
      const isFree = found.owner === '' || found.owner === this.node.id;
      const isReleased = isFree || (await this.#waitForRelease(found.owner, id, true));
      if (isReleased === false) return undefined;
      if (!isReleased || this.#local.find(id) || this.#isLeaving) throw ownerUncertain();
      const token = SessionToken.fromHash(found.tokenHash);
      const session = await this.#takeOver(id, found, token, request);
      if (!session) throw ownerUncertain(); // another node has claimed it first
      if (isWanted()) return replace(session);
      session.waitForClient();
      throw ownerUncertain();
    });
  }

  /**
   * Gives the owner time to finish what it is doing, unless it certainly does not exist any more.
   *
   * @param isOptional whether the owner keeps a session that has a stream.
   * @returns whether the session has no owner any more, or undefined if the owner has not answered.
   */
  async #waitForRelease(
    owner: string,
    id: string,
    isOptional: boolean,
  ): Promise<boolean | undefined> {
    const answer = new Promise<boolean | undefined>((resolve) => this.#releases.set(id, resolve));
    try {
      const isAlive = await this.node.requestRelease(owner, id, isOptional);
      return !isAlive || (await waitAtMost(HANDOVER_TIMEOUT, answer, () => undefined));
    } finally {
      this.#releases.delete(id);
    }
  }

  onReleaseAnswered(id: string, isReleased: boolean): void {
    this.#releases.get(id)?.(isReleased);
  }

  async #takeOver(
    id: string,
    found: SessionOwnership,
    token: SessionToken,
    request: SessionInit['request'],
  ): Promise<Session | undefined> {
    const stored = await this.#engine.claim(id, found);
    if (!stored) return undefined;
    const getBroadcasts = await this.node.broadcastsSince(stored.checkpoint.position);
    const log = SessionLog.restore(id, stored, getBroadcasts?.() ?? []);
    const { principal, close, closedByClient } = stored;
    const start: JournalStart = { ...stored, log };
    const session = this.#local.add({
      id,
      token,
      dialect: dialects[stored.dialect],
      principal,
      request,
      firstNumber: 0, // the engine has put the messages in order
      cluster: { node: this.node, start, isResumed: true, isRecovered: stored.sequence > 0 },
    });
    const ending = close ? { code: close.code, reason: close.reason } : log.close;
    if (ending && close?.isClosed) {
      session.lifecycle.restoreClosed(ending);
      if (closedByClient) session.lifecycle.release();
      if (start.unhandled.length > 0) this.#local.onRecovered(session);
      return session;
    }
    for (const room of log.rooms) session.rooms.join(session.connection, room);
    this.#local.onRecovered(session);
    void session.journal?.tryReadRecorded(); // notifications were ignored until now
    const lost = { code: CloseCode.internalError, reason: 'broadcasts for the session were lost' };
    if (!getBroadcasts) session.fail(lost);
    else if (closedByClient) session.lifecycle.terminate(closedByClient);
    else if (ending) session.lifecycle.close(ending);
    return session;
  }

  // --- Notifications -------------------------------------------------------------------------------

  onTaken(id: string, recorded: RecordedMessages): void {
    this.#local.find(id)?.receiveRecorded(recorded);
  }

  onRecorded(id: string): void {
    void this.#local.find(id)?.recordedInput?.onNotified();
  }

  onReleaseRequested(id: string, claimant: string, isOptional: boolean): void {
    const session = this.#local.find(id);
    if (!session) return;
    if (!isOptional || !session.connected) return void this.#release(session, claimant);
    // Without the answer, the claimant asks again.
    void this.#engine.notify(claimant, { type: 'kept', id }).catch(() => {});
  }

  // --- The end of ownership ------------------------------------------------------------------------

  async #release(session: Session, claimant?: string): Promise<void> {
    const { journal, id } = session;
    if (!journal) return;
    session.flow.pause();
    try {
      await waitAtMost(HANDOVER_TIMEOUT, journal.whenSettled(), () => {});
      await this.#engine.release(id, journal.epoch, claimant);
      if (claimant !== undefined) await this.#engine.notify(claimant, { type: 'released', id });
    } catch {
      // The claimant claims the session after the timeout.
    }
    session.onMoved();
  }

  /**
   * Releases all sessions, so that other nodes can claim them without waiting, and leaves the cluster. The releases are
   * spread over the shorter of `reconnectJitter` and `drainTimeout`, so that the clients do not reconnect all at once.
   */
  async leave(): Promise<void> {
    this.#isLeaving = true;
    const { reconnectJitter, drainTimeout } = this.#local.options;
    const settled = Promise.all([...this.#claims.values(), ...this.#pending]).then(() => {});
    await waitAtMost(drainTimeout, settled, () => {});
    const releaseLater = async (session: Session) => {
      await wait(Math.random() * Math.min(reconnectJitter, drainTimeout));
      await this.#release(session);
    };
    await Promise.all([...this.#local].map(releaseLater));
    await this.node.stop();
  }

  /** Deletes a session that has ended, after the application has handled its messages. */
  async remove(session: Session): Promise<void> {
    const removal = this.#remove(session);
    this.#pending.add(removal);
    await removal;
    this.#pending.delete(removal);
  }

  async #remove({ id, journal }: Session): Promise<void> {
    if (!journal) return;
    // If this node is killed before, the next owner delivers the messages again.
    await waitAtMost(HANDLING_TIMEOUT, journal.whenSettled(), () => {}).catch(() => {});
    if (journal.hasStopped()) return; // another session has its id
    journal.stop();
    await this.node.untilAnswered(() => this.#engine.remove(id, journal.epoch)).catch(() => {});
  }

  async restoreAll(): Promise<void> {
    const sessions = [...this.#local];
    // All sessions are detached before the first `await`, because broadcasts of the new log may arrive at any time.
    for (const { journal } of sessions) journal?.detach();
    for (const session of sessions) await this.#restore(session);
  }

  async restore(id: string): Promise<void> {
    const session = this.#local.find(id);
    if (!session) return;
    session.journal?.detach();
    await this.#restore(session);
  }

  async #restore(session: Session): Promise<void> {
    const { id, journal, dialect, principal, sessionToken } = session;
    if (!journal || journal.hasStopped()) return; // it has ended in the meantime
    const snapshot = journal.snapshot();
    const identity = { dialect: dialect.name, tokenHash: sessionToken.hash, principal };
    const stored = { ...snapshot, ...identity, numbering: session.recordedInput?.numbering };
    await this.#engine.restore(id, stored);
    journal.onRestored(stored);
    session.recordedInput?.onRestored();
  }

  async adoptFrom(nodeId: string): Promise<void> {
    const ids = await this.#engine.sessionsOf(nodeId);
    for (const id of ids) await this.#adopt(id, nodeId);
    await this.#engine.forget(nodeId);
  }

  /** Takes over a session of a node that has ended, one without an owner, or one of this node that it does not have. */
  #adopt(id: string, nodeId: string): Promise<void> {
    return this.#inTurn(id, async () => {
      const found = await this.#engine.find(id);
      if (!found || !['', nodeId, this.node.id].includes(found.owner)) return;
      if (found.owner === this.node.id && this.#local.find(id)) return;
      const token = SessionToken.fromHash(found.tokenHash);
      const session = await this.#takeOver(id, found, token, createPlaceholderRequest());
      session?.waitForClient();
    });
  }

  /** After a failed call: this node may own a session that it does not have, and whose client may not return. */
  #adoptLater(id: string): void {
    this.node.untilAnswered(() => this.#adopt(id, this.node.id)).catch(() => {});
  }

  deliverBroadcast(broadcast: PositionedBroadcast): void {
    this.#local.deliverBroadcast(broadcast);
  }

  onEngineFailed(error: unknown): void {
    diagnose('sse-duplex:engine-lost', { path: this.#local.path, cause: error });
  }

  onEngineAnswered(): void {
    diagnose('sse-duplex:engine-back', { path: this.#local.path });
  }

  onEngineSilent(): void {
    for (const session of this.#local) session.disconnect();
  }
}
