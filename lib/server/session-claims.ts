import { CloseCode } from '../protocol/close-code';
import type { ClusterEngine, SessionOwnership } from './cluster-engine';
import type { ClusterNode } from './cluster-node';
import { dialects } from './dialect';
import type { JournalStart } from './journal-node';
import type { LocalSessions } from './local-sessions';
import { createPlaceholderRequest } from './node-http';
import { ownerUncertain } from './request-error';
import type { Session } from './session';
import type { SessionCalls } from './session-calls';
import { SessionLog } from './session-log';
import { askEngine } from './session-lookup';
import type { SessionLookup, SessionProof } from './session-lookup';
import type { SessionInit } from './session-owner';
import type { SessionRemovals } from './session-removals';
import { SessionToken } from './session-token';
import { createStoredSession } from './stored-session';
import { waitAtMost } from './wait';

/** Time in milliseconds that the owner of a session has to release it for another node. */
export const HANDOVER_TIMEOUT = 500;

/** Most sessions that are looked up again after failed calls. */
const MAX_UNCERTAIN = 1_000;

/** What has become of the owner of a session that was asked to release it. */
type Release = 'released' | 'kept' | 'gone' | 'unanswered';

/** Makes this node the owner of sessions: it opens them, claims them for their clients, and adopts those of dead nodes. */
export class SessionClaims {
  readonly #engine: ClusterEngine;
  readonly #node: ClusterNode;
  readonly #lookup: SessionLookup;
  readonly #local: LocalSessions;
  readonly #calls: SessionCalls;
  readonly #removals: SessionRemovals;
  /** See {@link adoptLater}. */
  readonly #uncertain = new Set<string>();
  /** Callbacks of claims that wait for the owner's answer, by session id. */
  readonly #releases = new Map<string, (answer: Release) => void>();
  #isStopped = false;

  constructor(
    engine: ClusterEngine,
    node: ClusterNode,
    lookup: SessionLookup,
    local: LocalSessions,
    calls: SessionCalls,
    removals: SessionRemovals,
  ) {
    this.#engine = engine;
    this.#node = node;
    this.#lookup = lookup;
    this.#local = local;
    this.#calls = calls;
    this.#removals = removals;
  }

  /** From now on this node takes no session over. */
  stop(): void {
    this.#isStopped = true;
  }

  /** A method, because TypeScript assumes that a property does not change during an `await`. */
  #hasStopped(): boolean {
    return this.#isStopped;
  }

  /**
   * Opens a session.
   *
   * @param replaced a session of this node with the same id, which has been closed, and whose journal is stopped.
   * @returns undefined if a session with this id exists.
   */
  open(init: Omit<SessionInit, 'cluster'>, replaced?: Session): Promise<Session | undefined> {
    const { id } = init;
    // One that replaces another may be opened within a claim, for whose end it would wait.
    const opening = replaced
      ? this.#open(init, replaced)
      : this.#calls.inTurn(id, () => this.#open(init, undefined));
    opening.catch(() => this.adoptLater(id));
    return opening;
  }

  async #open(
    init: Omit<SessionInit, 'cluster'>,
    replaced: Session | undefined,
  ): Promise<Session | undefined> {
    const { id, dialect, token, principal, subprotocol = '', firstNumber } = init;
    await this.#lookup.whenReady();
    const { position } = this.#node;
    const stopObserving = this.#node.observeBroadcasts();
    const identity = { dialect: dialect.name, tokenHash: token.hash, principal };
    const opened = { ...identity, subprotocol, position, firstNumber };
    const session = createStoredSession(opened, (replaced?.journal?.epoch ?? 0) + 1);
    const opening = askEngine(async () => {
      if (!replaced?.journal) return this.#engine.open(id, opened);
      const { epoch, received } = replaced.journal;
      if (await this.#engine.replace(id, epoch, received, opened)) return true;
      if (await this.#engine.find(id)) throw ownerUncertain(); // another node may own it
      await this.#engine.restore(id, session); // the engine has lost its data
      return true;
    });
    const isOpened = await opening.finally(stopObserving);
    if (!isOpened) return undefined;
    const log = SessionLog.restore(id, session, stopObserving());
    const start = { ...session, log, isInterrupted: false };
    const cluster = { node: this.#node, start, isResumed: false, isRecovered: false };
    const added = this.#local.add({ ...init, cluster });
    if (replaced) void added.journal?.tryReadRecorded(); // what was recorded for the one before
    return added;
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
      return await this.#calls.inTurn(id, () => askEngine(claim));
    } catch (error) {
      this.adoptLater(id);
      throw error;
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
      if (local && owner === this.#node.id && local.journal?.epoch === epoch) return local;
      local?.onMoved();
      if (!isWanted()) return undefined;
      if (this.#isStopped) throw ownerUncertain();
      if (owner === this.#node.id && this.#removals.find(id, epoch)) return undefined;
      const release = await this.#waitForRelease(owner, id, false);
      if (release === 'kept') return undefined; // it has ended
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
   * @param replace ends the session if it has not ended, and opens another one with the same id.
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
      const { owner, epoch } = found;
      const ended = owner === this.#node.id ? this.#removals.find(id, epoch) : undefined;
      if (ended) return replace(ended);
      const release = await this.#waitForRelease(owner, id, true);
      if (release === 'kept') return undefined;
      const isUncertain = release === 'unanswered' || this.#local.find(id) !== undefined;
      if (isUncertain || this.#isStopped) throw ownerUncertain();
      const token = SessionToken.fromHash(found.tokenHash);
      const session = await this.#takeOver(id, found, token, request, false);
      if (!session) throw ownerUncertain(); // another node has claimed it first
      if (isWanted()) return replace(session);
      session.waitForClient();
      throw ownerUncertain();
    });
  }

  /**
   * Gives the owner of a session time to finish what it is doing, unless it certainly does not exist any more.
   *
   * @param isOptional whether the owner keeps a session that has a stream.
   */
  async #waitForRelease(owner: string, id: string, isOptional: boolean): Promise<Release> {
    if (owner === '') return 'released';
    if (owner === this.#node.id) return 'gone'; // an earlier attempt of this node may have claimed it and then failed
    const answer = new Promise<Release>((resolve) => this.#releases.set(id, resolve));
    try {
      const isAlive = await this.#node.requestRelease(owner, id, isOptional);
      return isAlive ? await waitAtMost(HANDOVER_TIMEOUT, answer, () => 'unanswered') : 'gone';
    } finally {
      this.#releases.delete(id);
    }
  }

  onReleaseAnswered(id: string, answer: 'released' | 'kept'): void {
    const onAnswer = this.#releases.get(id);
    if (onAnswer) onAnswer(answer);
    else if (answer === 'released') this.adoptLater(id); // after the timeout
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
    const getBroadcasts = await this.#node.broadcastsSince(stored.checkpoint.position);
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
      cluster: { node: this.#node, start, isResumed: true, isRecovered: stored.sequence > 0 },
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

  async adoptFrom(nodeId: string): Promise<void> {
    if (this.#hasStopped()) return; // another node adopts them
    const ids = await this.#engine.sessionsOf(nodeId);
    for (const id of ids) {
      await this.#adopt(id, nodeId);
      if (this.#hasStopped()) return;
    }
    await this.#engine.forget(nodeId);
  }

  /** Takes over a session of a node that has ended, one without an owner, or one of this node that it does not have. */
  #adopt(id: string, nodeId: string): Promise<void> {
    return this.#calls.inTurn(id, async () => {
      const found = await this.#engine.find(id);
      if (!found || !['', nodeId, this.#node.id].includes(found.owner)) return;
      const isOwn = found.owner === this.#node.id;
      if (isOwn && (this.#local.find(id) ?? this.#removals.find(id, found.epoch))) return;
      const token = SessionToken.fromHash(found.tokenHash);
      const isReleased = found.owner === '';
      const request = createPlaceholderRequest();
      const session = await this.#takeOver(id, found, token, request, !isReleased);
      session?.waitForClient();
    });
  }

  /** This node may own a session that it does not have, and whose client may not return. */
  adoptLater(id: string): void {
    if (this.#uncertain.size < MAX_UNCERTAIN) this.#uncertain.add(id);
  }

  async adoptUncertain(): Promise<void> {
    if (this.#isStopped) return; // another node adopts them when the lease has expired
    // A copy, because other calls add ids during the loop.
    for (const id of [...this.#uncertain]) {
      if (this.#calls.has(id)) continue; // the call may add it again
      this.#uncertain.delete(id);
      try {
        await this.#adopt(id, this.#node.id);
      } catch (error) {
        this.adoptLater(id);
        throw error;
      }
    }
  }
}
