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
import type { LocalSessions } from './local-sessions';
import { createPlaceholderRequest } from './node-http';
import { HANDOVER_TIMEOUT, ReleaseRequests } from './release-requests';
import { engineUnavailable, ownerUncertain } from './request-error';
import type { Session } from './session';
import type { SessionInit } from './session-owner';
import { SessionLog } from './session-log';
import { SessionLookup, askEngine } from './session-lookup';
import type { SessionProof } from './session-lookup';
import { SessionToken } from './session-token';
import { createStoredSession } from './stored-session';
import { wait, waitAtMost } from './wait';

/** Time in milliseconds that an application has to handle the messages of a session that has ended. */
const HANDLING_TIMEOUT = 30_000;

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
  /** Callbacks that end the wait for the application, of the sessions that are being deleted. */
  readonly #handlings = new Set<() => void>();
  #isLeaving = false;
  readonly #releases: ReleaseRequests;

  constructor(engine: ClusterEngine, local: LocalSessions) {
    this.#engine = engine;
    this.#local = local;
    this.node = new ClusterNode(engine, this);
    this.#lookup = new SessionLookup(this.node);
    this.#releases = new ReleaseRequests(this.node);
    this.posts = new ClusterPosts(engine, this.#lookup, local.options);
  }

  /**
   * Opens a session.
   *
   * @param replaced a session of this node with the same id, which has been closed.
   * @returns undefined if a session with this id exists.
   */
  open(init: Omit<SessionInit, 'cluster'>, replaced?: Session): Promise<Session | undefined> {
    const opening = this.#open(init, replaced);
    opening.catch(() => this.#adoptLater(init.id));
    return this.#track(opening);
  }

  #track<Result>(work: Promise<Result>): Promise<Result> {
    const settled = work.catch(() => {});
    this.#pending.add(settled);
    return work.finally(() => this.#pending.delete(settled));
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
      const { dialect, tokenHash, principal, subprotocol } = session;
      const opened = { dialect, tokenHash, principal, subprotocol, position, firstNumber };
      if (!replaced) return this.#engine.open(id, opened);
      replaced.journal?.stop();
      await this.#engine.restore(id, session);
      return true;
    });
    const isOpened = await opening.finally(stopObserving);
    if (!isOpened) return undefined;
    const log = SessionLog.restore(id, session, stopObserving());
    const start = { ...session, log, isInterrupted: false };
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
      this.#rejectIfLeaving();
      if (!isWanted()) return undefined;
      const release = await this.#releases.request(owner, id, false);
      // From here on no other node is responsible for the session.
      const session = await this.#takeOver(id, found, token, request, release !== 'released');
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
      const release = await this.#releases.request(found.owner, id, true);
      if (release === 'kept') return undefined;
      const isUncertain = release === 'unanswered' || this.#local.find(id) !== undefined;
      if (isUncertain || this.#isLeaving) throw ownerUncertain();
      const token = SessionToken.fromHash(found.tokenHash);
      const session = await this.#takeOver(id, found, token, request, false);
      if (!session) throw ownerUncertain(); // another node has claimed it first
      if (isWanted()) return replace(session);
      session.waitForClient();
      throw ownerUncertain();
    });
  }

  onReleaseAnswered(id: string, answer: 'released' | 'kept'): void {
    this.#releases.onAnswered(id, answer);
  }

  /** @param mayBeInterrupted see {@link JournalStart.isInterrupted}. */
  async #takeOver(
    id: string,
    found: SessionOwnership,
    token: SessionToken,
    request: SessionInit['request'],
    mayBeInterrupted: boolean,
  ): Promise<Session | undefined> {
    const stored = await this.#engine.claim(id, found);
    if (!stored) return undefined;
    const getBroadcasts = await this.node.broadcastsSince(stored.checkpoint.position);
    const log = SessionLog.restore(id, stored, getBroadcasts?.() ?? []);
    const { principal, subprotocol, close, closedByClient } = stored;
    // In the Dart dialect every message is recorded before it is delivered.
    const isInterrupted = mayBeInterrupted && dialects[stored.dialect].acknowledges;
    const start: JournalStart = { ...stored, log, isInterrupted };
    const session = this.#local.add({
      id,
      token,
      dialect: dialects[stored.dialect],
      principal,
      subprotocol,
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
    const { reconnectJitter, drainTimeout } = this.#local.options;
    this.stopClaiming();
    await this.#whenSettled();
    const releaseLater = async (session: Session) => {
      await wait(Math.random() * Math.min(reconnectJitter, drainTimeout));
      await this.#release(session);
    };
    await Promise.all([...this.#local].map(releaseLater));
    await this.node.stop();
  }

  /** @throws SseRequestError if this node takes no session over any more. */
  #rejectIfLeaving(): void {
    if (this.#isLeaving) throw engineUnavailable();
  }

  /** From now on this node takes no session over. */
  stopClaiming(): void {
    this.#isLeaving = true;
  }

  /** Leaves the cluster when the sessions of this node, all of which are closed, are deleted. */
  async stop(): Promise<void> {
    await this.#whenSettled();
    await this.node.stop();
  }

  /** Waits for sessions that are being claimed, opened or deleted, for `drainTimeout` at most. */
  async #whenSettled(): Promise<void> {
    const settled = () => Promise.all([...this.#claims.values(), ...this.#pending]).then(() => {});
    await waitAtMost(this.#local.options.drainTimeout, settled(), () => {});
    for (const stopWaiting of this.#handlings) stopWaiting();
    await waitAtMost(HANDOVER_TIMEOUT, settled(), () => {});
  }

  /** Deletes a session that has ended, after the application has handled its messages. */
  remove(session: Session): Promise<void> {
    return this.#track(this.#remove(session));
  }

  async #remove({ id, journal }: Session): Promise<void> {
    if (!journal) return;
    // If this node is killed before, the next owner delivers the messages again.
    const isHandled = waitAtMost(HANDLING_TIMEOUT, journal.whenSettled(), () => {});
    await new Promise<void>((resolve) => {
      this.#handlings.add(resolve);
      isHandled.then(resolve, resolve).finally(() => this.#handlings.delete(resolve));
    });
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
    const { id, journal, dialect, principal, subprotocol, sessionToken } = session;
    if (!journal || journal.hasStopped()) return; // it has ended in the meantime
    const snapshot = journal.snapshot();
    const identity = { dialect: dialect.name, tokenHash: sessionToken.hash, principal };
    const numbering = session.recordedInput?.numbering;
    const stored = { ...snapshot, ...identity, subprotocol, numbering };
    await this.#engine.restore(id, stored);
    journal.onRestored(stored);
    session.recordedInput?.onRestored();
  }

  async adoptFrom(nodeId: string): Promise<void> {
    if (this.#isLeaving) return; // another node adopts them
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
      const request = createPlaceholderRequest();
      const session = await this.#takeOver(id, found, token, request, found.owner !== '');
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
