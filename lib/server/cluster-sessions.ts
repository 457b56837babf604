import { CloseCode } from '../protocol/close-code';
import type { Envelope, PostResponse } from '../protocol/wire';
import type {
  ClusterEngine,
  PositionedBroadcast,
  RecordedMessages,
  SessionOwnership,
  StoredSession,
  TakeResult,
  TakenBatch,
} from './cluster-engine';
import { ClusterNode } from './cluster-node';
import type { NodeSessions } from './cluster-node';
import { diagnose } from './diagnostics';
import { dialects } from './dialect';
import type { JournalStart } from './journal';
import { encodeMessage } from './message';
import { createPlaceholderRequest } from './node-http';
import type { ResolvedOptions } from './options';
import { engineUnavailable, outOfWindow, receiveBufferFull, sessionClosed } from './request-error';
import type { Session } from './session';
import type { SessionInit } from './session-owner';
import { SessionLog } from './session-log';
import { SessionLookup, askEngine } from './session-lookup';
import type { SessionProof } from './session-lookup';
import { SessionToken } from './session-token';
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
  readonly #engine: ClusterEngine;
  readonly #lookup: SessionLookup;
  readonly #local: LocalSessions;
  /** The claims that are in progress at this node, by session id. */
  readonly #claims = new Map<string, Promise<unknown>>();
  /** The sessions that are being opened or removed at this node. */
  readonly #pending = new Set<Promise<unknown>>();
  #isLeaving = false;
  /** Callbacks of claims that wait for the owner to release the session, by session id. */
  readonly #releases = new Map<string, () => void>();

  constructor(engine: ClusterEngine, local: LocalSessions) {
    this.#engine = engine;
    this.#local = local;
    this.node = new ClusterNode(engine, this);
    this.#lookup = new SessionLookup(this.node);
  }

  /**
   * Opens a session.
   *
   * @returns undefined if a session with this id exists.
   */
  async open(init: Omit<SessionInit, 'cluster'>): Promise<Session | undefined> {
    const opening = this.#open(init);
    const settled = opening.catch(() => {});
    this.#pending.add(settled);
    try {
      return await opening;
    } finally {
      this.#pending.delete(settled);
    }
  }

  async #open(init: Omit<SessionInit, 'cluster'>): Promise<Session | undefined> {
    const { id, token, dialect, principal } = init;
    await this.#lookup.whenReady();
    const { position } = this.node;
    const stopObserving = this.node.observeBroadcasts();
    const identity = { dialect: dialect.name, tokenHash: token.hash, principal, position };
    const isOpened = await askEngine(() => this.#engine.open(id, identity)).finally(stopObserving);
    if (!isOpened) return undefined;
    const checkpoint = { acknowledged: 0, position, rooms: [], logStart: 0 };
    const log = SessionLog.restore(
      id,
      { checkpoint, log: [], lastNumbers: undefined },
      stopObserving(),
    );
    const start: JournalStart = {
      epoch: 1,
      sequence: 0,
      received: 0,
      handled: 0,
      unhandled: [],
      state: '',
      lastNumbers: undefined,
      log,
    };
    return this.#local.add({ ...init, cluster: { node: this.node, start, isRecovered: false } });
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
    await this.#lookup.whenReady();
    for (let previous; (previous = this.#claims.get(id));) await previous;
    const claim = askEngine(() => this.#claim(id, proof, request, isWanted));
    const settled = claim.catch(() => {});
    this.#claims.set(id, settled);
    try {
      return await claim;
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
      if (owner !== '' && owner !== this.node.id) await this.#waitForRelease(owner, id);
      if (!isWanted()) return undefined;
      if (this.#isLeaving) throw engineUnavailable();
      const session = await this.#takeOver(id, found, token, request);
      if (session) return session; // else another node has claimed it first
    }
    return undefined;
  }

  /** Asks the owner to release the session, and waits for that, unless the owner does not exist any more. */
  async #waitForRelease(owner: string, id: string): Promise<void> {
    const released = new Promise<void>((resolve) => this.#releases.set(id, resolve));
    try {
      const isAlive = await this.node.requestRelease(owner, id);
      if (isAlive) await waitAtMost(HANDOVER_TIMEOUT, released, () => {});
    } finally {
      this.#releases.delete(id);
    }
  }

  onReleased(id: string): void {
    this.#releases.get(id)?.();
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
      firstNumber: 0,
      cluster: { node: this.node, start, isRecovered: stored.sequence > 0 },
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

  // --- POSTs at other nodes ------------------------------------------------------------------------

  /**
   * Records a POST in the engine, for a session that another node owns, or that the POST closes.
   *
   * @returns undefined if there is no such session, or if it does not belong to the client.
   */
  async take(
    id: string,
    envelope: Envelope,
    principal: string | undefined,
  ): Promise<PostResponse | undefined> {
    const { token, id: first, ack, messages, close } = envelope;
    const batch: TakenBatch = {
      dialect: 'duplex',
      tokenHash: new SessionToken(token).hash,
      principal,
      first,
      messages: messages.map((message) => encodeMessage(message)),
      acknowledged: ack,
      close,
    };
    const result = await askEngine(() => this.#engine.take(id, batch));
    if (result.outcome === 'unknown-session') {
      return askEngine(() => this.#lookup.rejectDuringRecovery());
    }
    // So that the owner checks whether the missing messages are lost.
    if (result.outcome === 'out-of-window') await this.#notifyOwner(id, first);
    return toResponse(result, first, close !== undefined);
  }

  async #notifyOwner(id: string, first: number): Promise<void> {
    const recorded = { first, messages: [], acknowledged: 0, close: undefined };
    const found = await askEngine(() => this.#engine.find(id));
    if (!found) return;
    await askEngine(() => this.#engine.notify(found.owner, { type: 'taken', id, ...recorded }));
  }

  onTaken(id: string, recorded: RecordedMessages): void {
    this.#local.find(id)?.receiveRecorded(recorded);
  }

  // --- The end of ownership ------------------------------------------------------------------------

  onReleaseRequested(id: string, claimant: string): void {
    const session = this.#local.find(id);
    if (session) void this.#release(session, claimant);
  }

  async #release(session: Session, claimant?: string): Promise<void> {
    const { journal, id } = session;
    if (!journal) return;
    session.flow.pause();
    try {
      await waitAtMost(HANDOVER_TIMEOUT, journal.whenSettled(), () => {});
      await this.#engine.release(id, journal.epoch);
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
    journal.stop();
    await this.#engine.remove(id, journal.epoch).catch(() => {});
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
    if (!journal) return;
    const snapshot = journal.snapshot();
    const identity = { dialect: dialect.name, tokenHash: sessionToken.hash, principal };
    const stored: StoredSession = { ...snapshot, ...identity };
    await this.#engine.restore(id, stored);
    journal.onRestored(stored);
  }

  async adoptFrom(nodeId: string): Promise<void> {
    const ids = await this.#engine.sessionsOf(nodeId);
    for (const id of ids) {
      const found = await this.#engine.find(id);
      // An earlier attempt may have claimed it and then failed.
      const isClaimed = found?.owner === this.node.id && !this.#local.find(id);
      if (!found || !(found.owner === nodeId || isClaimed)) continue;
      const token = SessionToken.fromHash(found.tokenHash);
      const session = await this.#takeOver(id, found, token, createPlaceholderRequest());
      session?.waitForClient();
    }
    await this.#engine.forget(nodeId);
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

/** @throws SseRequestError if the messages were not recorded. */
function toResponse(
  result: Exclude<TakeResult, { outcome: 'unknown-session' }>,
  first: number,
  isClosing: boolean,
): PostResponse {
  switch (result.outcome) {
    case 'taken':
      return { received: result.received, ...(isClosing && { closed: true }) };
    case 'out-of-window':
      throw outOfWindow(first, result.received);
    case 'full':
      throw receiveBufferFull();
    case 'closed':
      if (isClosing) return { received: result.received, closed: true };
      throw sessionClosed(result.close);
  }
}
