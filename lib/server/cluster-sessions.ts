import type { ClusterEngine, PositionedBroadcast, RecordedMessages } from './cluster-engine';
import { ClusterNode } from './cluster-node';
import { ClusterPosts } from './cluster-posts';
import { diagnose } from './diagnostics';
import type { Journal } from './journal';
import type { LocalSessions } from './local-sessions';
import type { NodeSessions } from './node-sessions';
import type { Session } from './session';
import { SessionCalls } from './session-calls';
import { BROADCASTS_LOST, HANDOVER_TIMEOUT, SessionClaims } from './session-claims';
import { SessionLookup } from './session-lookup';
import { SessionRemovals } from './session-removals';
import { wait, waitAtMost } from './wait';

/** Largest number of sessions that are written to the engine at the same time. */
const MAX_RESTORING = 100;

/** The sessions of the cluster, for one node: releases and restores those that this node owns. */
export class ClusterSessions implements NodeSessions {
  readonly node: ClusterNode;
  /** Makes this node the owner of sessions. */
  readonly claims: SessionClaims;
  /** Deletes the sessions that have ended. */
  readonly removals: SessionRemovals;
  /** Records the POSTs that the owner of a session does not handle itself. */
  readonly posts: ClusterPosts;
  readonly #engine: ClusterEngine;
  readonly #local: LocalSessions;
  readonly #calls = new SessionCalls();
  /** The calls that write a session to the engine again. */
  readonly #restorations = new SessionCalls();
  /** For each session that is being released: the nodes that wait for it. */
  readonly #releases = new Map<string, Set<string>>();

  constructor(engine: ClusterEngine, local: LocalSessions) {
    this.#engine = engine;
    this.#local = local;
    this.node = new ClusterNode(engine, this);
    const lookup = new SessionLookup(this.node);
    this.removals = new SessionRemovals(this.node, this.#calls);
    this.claims = new SessionClaims(engine, this.node, lookup, local, this.#calls, this.removals);
    this.posts = new ClusterPosts(engine, lookup, local.options);
  }

  // --- Notifications -------------------------------------------------------------------------------

  onTaken(id: string, recorded: RecordedMessages): void {
    this.#local.find(id)?.recordedInput?.onTaken(recorded);
  }

  onRecorded(id: string): void {
    void this.#local.find(id)?.recordedInput?.onNotified();
  }

  onReleaseAnswered(id: string, answer: 'released' | 'kept'): void {
    this.claims.onReleaseAnswered(id, answer);
  }

  onReleaseRequested(id: string, claimant: string, isOptional: boolean): void {
    const session = this.#local.find(id);
    const release = this.#releases.get(id);
    if (release) {
      release.add(claimant);
    } else if (session) {
      if (isOptional && session.connected) this.#answerKept(id, claimant);
      else void this.#release(session, claimant);
    } else if (!this.removals.find(id)) {
      // The engine may have lost the claim of another node, so that this node owns the session again.
      this.claims.adoptLater(id);
    } else if (!isOptional) {
      this.#answerKept(id, claimant); // its messages would be delivered again
    }
  }

  #answerKept(id: string, claimant: string): void {
    // Without the answer, the claimant asks again, or takes the session over.
    void this.#engine.notify(claimant, { type: 'kept', id }).catch(() => {});
  }

  // --- The end of ownership ------------------------------------------------------------------------

  async #release(session: Session, claimant?: string): Promise<void> {
    const { journal, id } = session;
    if (!journal) return;
    const claimants = new Set(claimant === undefined ? [] : [claimant]);
    this.#releases.set(id, claimants);
    session.flow.pause();
    await this.#whenRecorded(journal);
    // Without a release, the next owner tells its listeners that the first messages may be delivered again.
    const mayRelease = journal.isEveryDeliveryRecorded;
    // Before the release, because nothing that is sent later can be recorded. The stream ends after it, so that the
    // client does not come back to a node that still has to ask for the session.
    session.onMoved(mayRelease);
    const isReleased =
      mayRelease && (await this.#releaseInEngine(session, journal.epoch, claimant));
    this.#releases.delete(id);
    // A node that is not notified takes the session over without a release, as this node does.
    if (!isReleased) return this.claims.adoptLater(id);
    const notify = (each: string) => this.#engine.notify(each, { type: 'released', id });
    await Promise.allSettled([...claimants].map(notify));
  }

  /**
   * Waits until the application has handled all delivered messages and the engine has recorded all changes, for
   * `HANDOVER_TIMEOUT` at most.
   */
  async #whenRecorded(journal: Journal): Promise<void> {
    const deadline = performance.now() + HANDOVER_TIMEOUT;
    do {
      const settled = journal.whenSettled().catch(() => {});
      await waitAtMost(deadline - performance.now(), settled, () => {});
      // The application may have sent something in the meantime.
    } while (!journal.isRecorded && performance.now() < deadline);
  }

  /** Releases a session that has ended here, and then ends its stream. Returns whether the engine has released it. */
  async #releaseInEngine(session: Session, epoch: number, successor?: string): Promise<boolean> {
    const { id } = session;
    const release = () => this.#engine.release(id, epoch, successor);
    const isReleased = this.#calls.inTurn(id, release).then(
      () => true,
      () => false,
    );
    const endStream = () => session.endMovedStream();
    void waitAtMost(HANDOVER_TIMEOUT, isReleased, () => false).then(endStream);
    return isReleased;
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
      await Promise.all([this.#calls.whenSettled(), this.removals.whenSettled()]);
    };
    await waitAtMost(this.#local.options.drainTimeout, settled(), () => {});
    this.removals.stopWaiting();
    await waitAtMost(HANDOVER_TIMEOUT, settled(), () => {});
  }

  async restoreAll(): Promise<void> {
    const sessions = [...this.#local];
    // All sessions are detached before the first `await`, because broadcasts of the new log may arrive at any time.
    for (const { journal } of sessions) journal?.detach();
    const remaining = sessions.values();
    const restoreNext = async () => {
      for (const session of remaining) await this.#restore(session);
    };
    // All have ended before the next attempt, which would otherwise overlap with this one.
    const results = await Promise.allSettled(Array.from({ length: MAX_RESTORING }, restoreNext));
    const failed = results.find((each) => each.status === 'rejected');
    if (failed) throw failed.reason;
  }

  async restore(id: string, epoch: number): Promise<boolean> {
    const local = this.#local.find(id);
    // A session that has ended is committed until its messages are handled.
    const session = local?.journal?.epoch === epoch ? local : this.removals.find(id, epoch);
    if (!session) return false;
    await this.#restore(session);
    return true;
  }

  /** Writes a session to the engine. In turn, because both the loss of a commit and a new generation lead to it. */
  #restore(session: Session): Promise<void> {
    return this.#restorations.inTurn(session.id, () => this.#write(session));
  }

  async #write(session: Session): Promise<void> {
    const { id, journal, dialect, principal, subprotocol, sessionToken } = session;
    if (!journal || journal.hasStopped()) return; // it has ended in the meantime
    // What other nodes have recorded would be overwritten: after an earlier attempt, or if the engine has lost only a part.
    const recorded = await this.#engine.read(id, journal.epoch, journal.received, Infinity);
    if (journal.hasStopped()) return;
    if (recorded) session.receiveRecorded(recorded);
    journal.detach();
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

  onBroadcastsLost(): void {
    // A session that is closing receives no more broadcasts.
    for (const session of this.#local) if (session.lifecycle.isOpen) session.fail(BROADCASTS_LOST);
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
