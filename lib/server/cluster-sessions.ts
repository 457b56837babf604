import type { ClusterEngine, PositionedBroadcast, RecordedMessages } from './cluster-engine';
import { ClusterNode } from './cluster-node';
import { ClusterPosts } from './cluster-posts';
import { diagnose } from './diagnostics';
import type { LocalSessions } from './local-sessions';
import type { NodeSessions } from './node-sessions';
import type { Session } from './session';
import { HANDOVER_TIMEOUT, SessionClaims } from './session-claims';
import { SessionLookup } from './session-lookup';
import { wait, waitAtMost } from './wait';

/** Time in milliseconds that an application has to handle the messages of a session that has ended. */
const HANDLING_TIMEOUT = 30_000;

/** The sessions of the cluster, for one node: releases, restores and deletes those that this node owns. */
export class ClusterSessions implements NodeSessions {
  readonly node: ClusterNode;
  /** Makes this node the owner of sessions. */
  readonly claims: SessionClaims;
  /** Records the POSTs that the owner of a session does not handle itself. */
  readonly posts: ClusterPosts;
  readonly #engine: ClusterEngine;
  readonly #local: LocalSessions;
  /** The deletions that are in progress. */
  readonly #removals = new Map<Session, Promise<void>>();
  /** Callbacks that end the wait for the application, of the sessions that are being deleted. */
  readonly #handlings = new Set<() => void>();

  constructor(engine: ClusterEngine, local: LocalSessions) {
    this.#engine = engine;
    this.#local = local;
    this.node = new ClusterNode(engine, this);
    const lookup = new SessionLookup(this.node);
    this.claims = new SessionClaims(engine, this.node, lookup, local);
    this.posts = new ClusterPosts(engine, lookup, local.options);
  }

  // --- Notifications -------------------------------------------------------------------------------

  onTaken(id: string, recorded: RecordedMessages): void {
    this.#local.find(id)?.receiveRecorded(recorded);
  }

  onRecorded(id: string): void {
    void this.#local.find(id)?.recordedInput?.onNotified();
  }

  onReleaseAnswered(id: string, answer: 'released' | 'kept'): void {
    this.claims.onReleaseAnswered(id, answer);
  }

  onReleaseRequested(id: string, claimant: string, isOptional: boolean): void {
    const session = this.#local.find(id);
    if (!session) {
      // The engine may have lost the claim of another node, so that this node owns the session again.
      const isRemoved = [...this.#removals.keys()].some((removed) => removed.id === id);
      if (!isRemoved) this.claims.adoptLater(id);
      return;
    }
    if (!isOptional || !session.connected) return void this.#release(session, claimant);
    // Without the answer, the claimant asks again.
    void this.#engine.notify(claimant, { type: 'kept', id }).catch(() => {});
  }

  // --- The end of ownership ------------------------------------------------------------------------

  async #release(session: Session, claimant?: string): Promise<void> {
    const { journal, id } = session;
    if (!journal) return;
    session.flow.pause();
    let isReleased = false;
    try {
      await waitAtMost(HANDOVER_TIMEOUT, journal.whenSettled(), () => {});
      // Without a release, the next owner tells its listeners that the first messages may be delivered again.
      if (journal.isEveryDeliveryRecorded) {
        await this.#engine.release(id, journal.epoch, claimant);
        isReleased = true;
        if (claimant !== undefined) await this.#engine.notify(claimant, { type: 'released', id });
      }
    } catch {
      // The claimant, or this node, takes the session over without a release.
    }
    session.onMoved();
    if (!isReleased) this.claims.adoptLater(id);
  }

  /**
   * Releases all sessions, so that other nodes can claim them without waiting, and leaves the cluster. The releases are
   * spread over the shorter of `reconnectJitter` and `drainTimeout`, so that the clients do not reconnect all at once.
   */
  async leave(): Promise<void> {
    const { reconnectJitter, drainTimeout } = this.#local.options;
    this.claims.stop();
    await this.#whenSettled();
    const releaseLater = async (session: Session) => {
      await wait(Math.random() * Math.min(reconnectJitter, drainTimeout));
      await this.#release(session);
    };
    await Promise.all([...this.#local].map(releaseLater));
    await this.node.stop();
  }

  /** Leaves the cluster when the sessions of this node, all of which are closed, are deleted. */
  async stop(): Promise<void> {
    await this.#whenSettled();
    await this.node.stop();
  }

  /** Waits for sessions that are being claimed, opened or deleted, for `drainTimeout` at most. */
  async #whenSettled(): Promise<void> {
    const settled = async () => {
      await Promise.all([this.claims.whenSettled(), ...this.#removals.values()]);
    };
    await waitAtMost(this.#local.options.drainTimeout, settled(), () => {});
    for (const stopWaiting of this.#handlings) stopWaiting();
    await waitAtMost(HANDOVER_TIMEOUT, settled(), () => {});
  }

  /** Deletes a session that has ended, after the application has handled its messages. */
  remove(session: Session): Promise<void> {
    const removal = this.#remove(session).finally(() => this.#removals.delete(session));
    this.#removals.set(session, removal);
    return removal;
  }

  async #remove({ id, journal, sessionToken }: Session): Promise<void> {
    if (!journal) return;
    // If this node is killed before, the next owner delivers the messages again.
    const isHandled = waitAtMost(HANDLING_TIMEOUT, journal.whenSettled(), () => {});
    await new Promise<void>((resolve) => {
      this.#handlings.add(resolve);
      isHandled.then(resolve, resolve).finally(() => this.#handlings.delete(resolve));
    });
    if (journal.hasStopped()) return; // another session has its id
    journal.stop();
    const remove = () => this.#engine.remove(id, journal.epoch, sessionToken.hash);
    // In turn, because a client of the Dart dialect may open another session with this id.
    await this.node.untilAnswered(() => this.claims.inTurn(id, remove)).catch(() => {});
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
    await session.journal?.readRecorded(); // what only the engine knows would be overwritten
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

  adoptFrom(nodeId: string): Promise<void> {
    return this.claims.adoptFrom(nodeId);
  }

  adoptUncertain(): Promise<void> {
    return this.claims.adoptUncertain();
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
