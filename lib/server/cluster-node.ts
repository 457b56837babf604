import { nanoid } from 'nanoid';
import { BroadcastLog } from './broadcast-log';
import type { BroadcastNode } from './broadcast-log';
import type {
  Broadcast,
  ClusterEngine,
  CommitResult,
  EngineListener,
  EngineState,
  Notification,
  PositionedBroadcast,
  RecordedMessages,
} from './cluster-engine';
import type { JournalNode } from './journal-node';
import type { NodeSessions } from './node-sessions';
import { RETRY_DELAY, nextDelay, wait } from './wait';

/** Interval in milliseconds between two beats: each extends the lease and checks the state of the engine. */
const BEAT_INTERVAL = 1_000;
/** Time in milliseconds without an answer of the engine, after which the node ends its event streams. */
const MAX_SILENCE = 10_000;
/** `received` of a {@link CommitResult} if the engine has lost an earlier commit. */
const COMMIT_LOST = -1;

/** This process as a node of a cluster: its connection to the engine. */
export class ClusterNode implements EngineListener, JournalNode, BroadcastNode {
  readonly id = nanoid(12);
  readonly engine: ClusterEngine;
  /** The broadcasts of all nodes. */
  readonly broadcasts: BroadcastLog;
  readonly #sessions: NodeSessions;
  readonly #ready: Promise<void>;
  #isStopped = false;
  #state: EngineState | undefined;
  #lastAnswerAt = performance.now();
  /** Whether the last call to the engine has failed. */
  #isFailing = false;
  /** Whether the engine has not answered for {@link MAX_SILENCE}. */
  #isSilent = false;
  #isAdopting = false;
  /** The call of {@link #recover} that is in progress. */
  #recovery: Promise<void> | undefined;

  constructor(engine: ClusterEngine, sessions: NodeSessions) {
    this.engine = engine;
    this.broadcasts = new BroadcastLog(this, engine);
    this.#sessions = sessions;
    this.#ready = this.#start();
    this.#ready.catch(() => {}); // rejects only if the node is stopped before it is connected
  }

  /** Id of the engine's generation that this node knows; '' before it is connected. */
  get generation(): string {
    return this.#state?.generation ?? '';
  }

  /** Checks the engine. Returns the milliseconds since it was created, or lost its data. */
  async checkEngineAge(): Promise<number> {
    return (await this.check()).age;
  }

  /** Resolves when the node is connected to the engine. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  async #start(): Promise<void> {
    await this.untilAnswered(() => this.engine.start(this.id, this));
    const state = await this.untilAnswered(() => this.engine.beat(0));
    this.#state = state;
    this.broadcasts.start(state);
    void this.#beat();
  }

  /** A method, because TypeScript assumes that a property does not change during an `await`. */
  hasStopped(): boolean {
    return this.#isStopped;
  }

  /** Closes the connection to the engine. Broadcasts that the engine has not recorded are lost. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.engine.stop().catch(() => {}); // the node ignores what it still receives
  }

  // --- The state of the engine ---------------------------------------------------------------------

  async #beat(): Promise<void> {
    while (!this.hasStopped()) {
      await wait(BEAT_INTERVAL);
      try {
        const state = await this.#extendLease();
        // Recovery and adoption are not awaited: with thousands of sessions they may take longer than the lease, which the
        // next beats extend.
        if (this.#recovery) continue;
        await this.#follow(state);
        this.broadcasts.forgetOld();
        if (!this.#isAdopting) void this.#adopt(state.deadNodes);
      } catch (error) {
        this.#onFailure(error);
        const silence = performance.now() - this.#lastAnswerAt;
        if (silence < MAX_SILENCE || this.#isSilent || this.hasStopped()) continue;
        this.#isSilent = true;
        this.#sessions.onEngineSilent();
      }
    }
  }

  /** Takes over the sessions of nodes that have ended, and those that this node may own without knowing. */
  async #adopt(deadNodes: string[]): Promise<void> {
    this.#isAdopting = true;
    const adoptFrom = async (nodeId: string) => {
      await this.#sessions.adoptFrom(nodeId);
      this.broadcasts.forgetSender(nodeId);
    };
    const adoptions = [...deadNodes.map(adoptFrom), this.#sessions.adoptUncertain()];
    const results = await Promise.allSettled(adoptions);
    this.#isAdopting = false;
    const failed = results.find((each) => each.status === 'rejected');
    if (failed) this.#onFailure(failed.reason); // the next beat tries again
  }

  /** Extends the lease. Restores the sessions in an engine that has lost its data, else reads missed broadcasts. */
  async check(): Promise<EngineState> {
    const state = await this.#extendLease();
    await (this.#recovery ?? this.#follow(state));
    return state;
  }

  /** Extends the lease. Begins the recovery if the engine has lost its data. */
  async #extendLease(): Promise<EngineState> {
    const state = await this.engine.beat(this.broadcasts.position);
    this.#onAnswer();
    const isOther = this.#state !== undefined && state.generation !== this.#state.generation;
    if (isOther && !this.#recovery && !this.hasStopped()) {
      this.#recovery = this.#recover(state);
      this.#recovery.catch((error: unknown) => this.#onFailure(error)); // the next beat tries again
    }
    return state;
  }

  /** Reads missed broadcasts. */
  async #follow(state: EngineState): Promise<void> {
    if (this.hasStopped()) return;
    this.#state = state;
    if (state.position > this.broadcasts.position) await this.broadcasts.catchUp(state);
  }

  /**
   * Restores the sessions and the recent broadcasts in an engine that has lost its data. If that fails, the next beat
   * tries again.
   */
  async #recover(state: EngineState): Promise<void> {
    try {
      this.broadcasts.beginGeneration(state);
      await this.#sessions.restoreAll();
      this.#state = state;
      this.broadcasts.appendAgain();
      await this.broadcasts.catchUp(state);
    } finally {
      this.#recovery = undefined;
    }
  }

  #onAnswer(): void {
    this.#lastAnswerAt = performance.now();
    this.#isSilent = false;
    if (!this.#isFailing) return;
    this.#isFailing = false;
    this.#sessions.onEngineAnswered();
  }

  #onFailure(error: unknown): void {
    if (this.#isFailing || this.hasStopped()) return;
    this.#isFailing = true;
    this.#sessions.onEngineFailed(error);
  }

  /**
   * Repeats a call until the engine answers it. Rejects if the node stops before.
   *
   * @param isWanted if given, returns whether to make the call (again). If not, the result is undefined.
   */
  untilAnswered<Result>(call: () => Promise<Result>): Promise<Result>;
  untilAnswered<Result>(
    call: () => Promise<Result>,
    isWanted: () => boolean,
  ): Promise<Result | undefined>;
  async untilAnswered<Result>(
    call: () => Promise<Result>,
    isWanted = () => true,
  ): Promise<Result | undefined> {
    for (let delay = RETRY_DELAY.first; isWanted(); delay = nextDelay(delay)) {
      try {
        const result = await call();
        this.#onAnswer();
        return result;
      } catch (error) {
        if (this.hasStopped()) throw error;
        this.#onFailure(error);
        await wait(delay);
      }
    }
    return undefined;
  }

  // --- Sessions ------------------------------------------------------------------------------------

  async commit(
    ...call: Parameters<JournalNode['commit']>
  ): Promise<CommitResult | 'restored' | undefined> {
    try {
      return await this.#commit(...call);
    } catch {
      return undefined; // the node has stopped, and other nodes own its sessions
    }
  }

  async #commit(
    ...[id, epoch, changes, isWanted]: Parameters<JournalNode['commit']>
  ): Promise<CommitResult | 'restored' | undefined> {
    const generation = this.#state?.generation;
    const commit = () => this.engine.commit(id, epoch, changes);
    const result = await this.untilAnswered(commit, isWanted);
    if (!isWanted()) return undefined;
    if (result?.received === COMMIT_LOST) {
      const restore = () => this.#sessions.restore(id, epoch);
      return (await this.untilAnswered(restore, isWanted)) ? 'restored' : undefined;
    }
    if (result) return result;
    // This node is not the owner any more, or the engine has lost all sessions, and the check restores them.
    await this.untilAnswered(() => this.check());
    return this.#state?.generation === generation ? undefined : 'restored';
  }

  async read(...call: Parameters<ClusterEngine['read']>): Promise<RecordedMessages | undefined> {
    const generation = this.#state?.generation;
    const recorded = await this.engine.read(...call);
    if (recorded) return recorded;
    await this.check(); // as in `#commit`
    if (this.#state?.generation === generation) return undefined;
    return this.engine.read(...call);
  }

  startNumbering(id: string, epoch: number): Promise<void> {
    return this.engine.startNumbering(id, epoch);
  }

  /**
   * Asks the owner of a session to release it.
   *
   * @param isOptional whether the owner keeps a session that has a stream.
   * @returns false if the owner certainly does not receive the request, so that there is no reason to wait.
   */
  async requestRelease(owner: string, id: string, isOptional: boolean): Promise<boolean> {
    return this.engine.notify(owner, { type: 'release', id, claimant: this.id, isOptional });
  }

  onNotification(notification: Notification): void {
    if (this.hasStopped()) return;
    const { id, type } = notification;
    switch (type) {
      case 'taken':
        return this.#sessions.onTaken(id, notification);
      case 'recorded':
        return this.#sessions.onRecorded(id);
      case 'released':
      case 'kept':
        return this.#sessions.onReleaseAnswered(id, type);
      case 'release':
        this.#sessions.onReleaseRequested(id, notification.claimant, notification.isOptional);
    }
  }

  // --- Broadcasts ----------------------------------------------------------------------------------

  /** Sends a broadcast to the sessions of all nodes, including this one. */
  broadcast(broadcast: Broadcast): void {
    this.broadcasts.send(broadcast);
  }

  onBroadcast(broadcast: PositionedBroadcast): void {
    if (!this.hasStopped()) this.broadcasts.onAppended(broadcast);
  }

  deliverBroadcast(broadcast: PositionedBroadcast): void {
    this.#sessions.deliverBroadcast(broadcast);
  }

  onBroadcastsLost(): void {
    this.#sessions.onBroadcastsLost();
  }

  get position(): number {
    return this.broadcasts.position;
  }

  get lastNumbers(): Record<string, number> {
    return this.broadcasts.lastNumbers;
  }

  get hasDeliveredOwnBroadcasts(): boolean {
    return this.broadcasts.hasDeliveredOwn;
  }

  afterOwnBroadcasts(callback: () => void): void {
    this.broadcasts.afterOwn(callback);
  }
}
