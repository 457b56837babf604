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

/** How a session is closed that cannot receive all broadcasts. */
export const BROADCASTS_LOST = {
  code: CloseCode.internalError,
  reason: 'broadcasts for the session were lost',
};

/** Largest number of sessions that are looked up again after failed calls. */
const MAX_UNCERTAIN = 1_000;

/** How the owner of a session has answered the request to release it. `gone`: it certainly does not exist any more. */
type ReleaseAnswer = 'released' | 'kept' | 'gone' | 'unanswered';

/** Makes this node the owner of sessions: it opens them, claims them for their clients, and adopts those of dead nodes. */
export class SessionClaims {
  readonly #engine: ClusterEngine;
  readonly #node: ClusterNode;
  readonly #lookup: SessionLookup;
  readonly #local: LocalSessions;
  readonly #calls: SessionCalls;
  readonly #removals: SessionRemovals;
  /** Ids of sessions that this node may own although it does not have them: see {@link adoptLater}. */
  readonly #uncertain = new Set<string>();
  /** Callbacks of the calls that wait for the owner's answer, by session id. */
  readonly #waitingForRelease = new Map<string, (answer: ReleaseAnswer) => void>();
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
    // A session that replaces another one is not opened in turn: a claim of the same id may wait for its opening.
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
    const stopObserving = this.#node.broadcasts.observe();
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
    try {
      if (!(await opening)) return undefined;
      if (this.#hasStopped()) {
        // The session that it replaces may have left messages to it, which the next node delivers.
        const { epoch } = session;
        if (replaced) await this.#engine.release(id, epoch, undefined).catch(() => {});
        else await this.#engine.remove(id, epoch, token.hash).catch(() => {});
        throw ownerUncertain();
      }
      // In the same turn as `add`, after which the session itself receives what the node processes.
      const log = SessionLog.restore(id, session, stopObserving());
      const start = { ...session, log, isInterrupted: false };
      const cluster = { node: this.#node, start, isResumed: false, isRecovered: false };
      const added = this.#local.add({ ...init, cluster });
      if (replaced) void added.journal?.tryReadRecorded(); // messages that were recorded for the session that it replaces
      return added;
    } finally {
      stopObserving();
    }
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
      local?.onMoved(); // it is out of date: the session has been claimed since
      if (!isWanted()) return undefined;
      if (this.#isStopped) throw ownerUncertain();
      if (owner === this.#node.id && this.#removals.find(id, epoch)) return undefined;
      const release = await this.#waitForRelease(owner, id, false);
      if (release === 'kept') return undefined; // it has ended
      // Now this node must claim the session, even for a client that has disconnected: no other node would close it.
      const session = await this.#takeOver(id, found, token, request, release !== 'released');
      if (session) return session; // otherwise another node has claimed it first
    }
    return undefined;
  }

  /**
   * Dart dialect: replaces a session of another node that has no stream there. To do so, this node becomes its owner.
   *
   * @param isWanted see {@link claim}.
   * @param replace ends the session if it has not ended, and opens another one with the same id.
   * @returns undefined if the session has a stream, or if it does not belong to the principal.
   * @throws SseRequestError if it is uncertain which node owns the session, or whether it has a stream.
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
   * Asks the owner of a session to release it, and waits for the answer for `HANDOVER_TIMEOUT` at most. Does not wait
   * if the owner certainly does not exist any more.
   *
   * @param isOptional whether the owner keeps a session that has a stream.
   */
  async #waitForRelease(owner: string, id: string, isOptional: boolean): Promise<ReleaseAnswer> {
    if (owner === '') return 'released';
    if (owner === this.#node.id) return 'gone'; // an earlier attempt of this node may have claimed it and then failed
    const answer = new Promise<ReleaseAnswer>((resolve) =>
      this.#waitingForRelease.set(id, resolve),
    );
    try {
      const isAlive = await this.#node.requestRelease(owner, id, isOptional);
      return isAlive ? await waitAtMost(HANDOVER_TIMEOUT, answer, () => 'unanswered') : 'gone';
    } finally {
      this.#waitingForRelease.delete(id);
    }
  }

  onReleaseAnswered(id: string, answer: 'released' | 'kept'): void {
    const onAnswer = this.#waitingForRelease.get(id);
    if (onAnswer) onAnswer(answer);
    else if (answer === 'released') this.adoptLater(id); // after the timeout: the claim may have failed
  }

  /**
   * Claims a session in the engine, and continues it here.
   *
   * @param mayBeInterrupted see {@link JournalStart.isInterrupted}.
   * @returns undefined if the session has ended, if another node has claimed it first, or if this node has stopped.
   */
  async #takeOver(
    id: string,
    found: SessionOwnership,
    token: SessionToken,
    request: SessionInit['request'],
    mayBeInterrupted: boolean,
  ): Promise<Session | undefined> {
    const stored = await this.#engine.claim(id, found);
    if (!stored) return undefined;
    const getBroadcasts = await this.#node.broadcasts.since(stored.checkpoint.position);
    const broadcasts = getBroadcasts();
    if (this.#hasStopped()) {
      // Not after an owner that has not released it: the next one could not tell that messages may be delivered again.
      if (!mayBeInterrupted) await this.#engine.release(id, stored.epoch, undefined);
      return undefined;
    }
    const log = SessionLog.restore(id, stored, broadcasts ?? []);
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
      if (start.unhandled.length > 0) this.#local.onRecovered(session); // the application has to handle them
      return session;
    }
    for (const room of log.rooms) session.rooms.join(session.connection, room);
    this.#local.onRecovered(session);
    void session.journal?.tryReadRecorded(); // this node has ignored notifications about the session until now
    if (!broadcasts) session.fail(BROADCASTS_LOST);
    else if (closedByClient) session.lifecycle.terminate(closedByClient);
    else if (ending) session.lifecycle.closeAfterQueued(ending);
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

  /** Takes over a session if `nodeId` owns it, if it has no owner, or if this node owns it but does not have it. */
  #adopt(id: string, nodeId: string): Promise<void> {
    return this.#calls.inTurn(id, async () => {
      const found = await this.#engine.find(id);
      if (!found || !['', nodeId, this.#node.id].includes(found.owner)) return;
      const isOwn = found.owner === this.#node.id;
      const local = this.#local.find(id);
      const isCurrent = local?.journal?.epoch === found.epoch;
      if (isOwn && (isCurrent || this.#removals.find(id, found.epoch))) return;
      local?.onMoved(); // as in `#claim`
      const token = SessionToken.fromHash(found.tokenHash);
      const isReleased = found.owner === '';
      const request = createPlaceholderRequest();
      const session = await this.#takeOver(id, found, token, request, !isReleased);
      session?.waitForClient();
    });
  }

  /** Looks a session up at the next beat: this node may own it without having it, and its client may not return. */
  adoptLater(id: string): void {
    if (this.#uncertain.size < MAX_UNCERTAIN) this.#uncertain.add(id);
  }

  async adoptUncertain(): Promise<void> {
    if (this.#isStopped) return; // another node adopts them when the lease has expired
    // A copy, because other calls add ids during the loop.
    for (const id of [...this.#uncertain]) {
      if (this.#calls.has(id)) continue; // until the next beat: the call may take it over
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
