import { nanoid } from 'nanoid';
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
/** Largest number of broadcasts in one call, because an engine may answer no other call before it has appended them. */
const MAX_BATCH = 1_000;
/** Time in milliseconds without an answer of the engine, after which the node ends its event streams. */
const MAX_SILENCE = 10_000;
/** `received` of a {@link CommitResult} if the engine has lost an earlier commit. */
const COMMIT_LOST = -1;

/** This process as a node of a cluster: its connection to the engine, and its position in the log of broadcasts. */
export class ClusterNode implements EngineListener, JournalNode {
  readonly id = nanoid(12);
  readonly engine: ClusterEngine;
  readonly #sessions: NodeSessions;
  readonly #ready: Promise<void>;
  #isStopped = false;
  #state: EngineState | undefined;
  #position = 0;
  /** For each node, the number of its last broadcast that was processed here. */
  #lastNumbers = new Map<string, number>();
  /** Callbacks of {@link observeBroadcasts}. */
  readonly #observers = new Set<(broadcast: PositionedBroadcast) => void>();

  /** Broadcasts of this node that are not delivered to its own sessions yet. */
  readonly #undelivered: Broadcast[] = [];
  /**
   * Broadcasts of this node that were delivered to its own sessions within one or two intervals between beats. Other
   * nodes may not have read them yet; if the engine loses its data, they are appended again.
   */
  readonly #recent: Broadcast[] = [];
  /** Length of {@link #recent} at the last beat. */
  #recentAtBeat = 0;
  /** Number of the last broadcast of this node that was delivered to its sessions. */
  #lastDelivered = 0;
  /** Number of the last broadcast of this node that the engine has recorded. */
  #lastRecorded = 0;
  #isSending = false;
  /** Callbacks of {@link afterOwnBroadcasts}, with the number of the broadcast that they wait for. */
  readonly #waiting: { number: number; callback: () => void }[] = [];

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
    this.#sessions = sessions;
    this.#ready = this.#start();
    this.#ready.catch(() => {}); // rejects only if the node is stopped before it is connected
  }

  /** Position of the last broadcast that this node has processed. */
  get position(): number {
    return this.#position;
  }

  /** Checks the engine. Returns the milliseconds since it was created, or lost its data. */
  async checkEngineAge(): Promise<number> {
    return (await this.#check()).age;
  }

  /** Resolves when the node is connected to the engine. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  async #start(): Promise<void> {
    await this.untilAnswered(() => this.engine.start(this.id, this));
    const state = await this.untilAnswered(() => this.engine.beat(0));
    this.#state = state;
    this.#position = state.position;
    this.#lastNumbers = new Map(Object.entries(state.lastNumbers));
    void this.#beat();
  }

  /** A method, because TypeScript assumes that a property does not change during an `await`. */
  #hasStopped(): boolean {
    return this.#isStopped;
  }

  /** Closes the connection to the engine. Broadcasts that the engine has not recorded are lost. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.engine.stop().catch(() => {}); // the node ignores what it still receives
  }

  // --- The state of the engine ---------------------------------------------------------------------

  async #beat(): Promise<void> {
    while (!this.#hasStopped()) {
      await wait(BEAT_INTERVAL);
      try {
        const { deadNodes } = await this.#check();
        this.#forgetOldBroadcasts();
        // Not awaited: with thousands of sessions it may take longer than the lease, which the next beats extend.
        if (!this.#isAdopting) void this.#adopt(deadNodes);
      } catch (error) {
        this.#onFailure(error);
        const silence = performance.now() - this.#lastAnswerAt;
        if (silence < MAX_SILENCE || this.#isSilent || this.#hasStopped()) continue;
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
      this.#lastNumbers.delete(nodeId); // it sends no more broadcasts
    };
    const adoptions = [...deadNodes.map(adoptFrom), this.#sessions.adoptUncertain()];
    const results = await Promise.allSettled(adoptions);
    this.#isAdopting = false;
    const failed = results.find((each) => each.status === 'rejected');
    if (failed) this.#onFailure(failed.reason); // the next beat tries again
  }

  /** Extends the lease. Restores the sessions in an engine that has lost its data, else reads missed broadcasts. */
  async #check(): Promise<EngineState> {
    const state = await this.engine.beat(this.#position);
    this.#onAnswer();
    if (this.#hasStopped()) return state;
    if (this.#state && state.generation !== this.#state.generation) {
      await (this.#recovery ??= this.#recover(state));
    } else {
      this.#state = state;
      if (state.position > this.#position) await this.catchUp();
    }
    return state;
  }

  /**
   * Restores the sessions and the recent broadcasts in an engine that has lost its data. If that fails, the next beat
   * tries again.
   */
  async #recover(state: EngineState): Promise<void> {
    try {
      this.#position = Math.max(this.#position, state.base); // where the new log begins
      await this.#sessions.restoreAll();
      this.#state = state;
      this.#lastRecorded = this.#lastDelivered - this.#recent.length; // the recent ones are appended again
      this.#recentAtBeat = 0;
      if (!this.#isSending) void this.#sendBroadcasts();
      await this.catchUp();
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
    if (this.#isFailing || this.#hasStopped()) return;
    this.#isFailing = true;
    this.#sessions.onEngineFailed(error);
  }

  /** Repeats a call until the engine answers it. Rejects if the node stops before. */
  async untilAnswered<Result>(call: () => Promise<Result>): Promise<Result> {
    for (let delay = RETRY_DELAY.first; ; delay = nextDelay(delay)) {
      try {
        const result = await call();
        this.#onAnswer();
        return result;
      } catch (error) {
        if (this.#hasStopped()) throw error;
        this.#onFailure(error);
        await wait(delay);
      }
    }
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
    const result = await this.untilAnswered(async () =>
      isWanted() ? this.engine.commit(id, epoch, changes) : undefined,
    );
    if (!isWanted()) return undefined;
    if (result?.received === COMMIT_LOST) {
      await this.untilAnswered(() => this.#sessions.restore(id));
      return 'restored';
    }
    if (result) return result;
    // This node is not the owner any more, or the engine has lost all sessions, and the check restores them.
    await this.untilAnswered(() => this.#check());
    return this.#state?.generation === generation ? undefined : 'restored';
  }

  async read(...call: Parameters<ClusterEngine['read']>): Promise<RecordedMessages | undefined> {
    const generation = this.#state?.generation;
    const recorded = await this.engine.read(...call);
    if (recorded) return recorded;
    await this.#check(); // as in `#commit`
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
    if (this.#hasStopped()) return;
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
    this.#undelivered.push(broadcast);
    if (!this.#isSending) void this.#sendBroadcasts();
  }

  async #sendBroadcasts(): Promise<void> {
    this.#isSending = true;
    await this.#ready.catch(() => {});
    while (this.#lastRecorded < this.#lastSent && !this.#hasStopped()) {
      await this.untilAnswered(() => this.#appendBroadcasts()).catch(() => {});
    }
    this.#isSending = false;
  }

  async #appendBroadcasts(): Promise<void> {
    const { generation } = this.#state ?? { generation: '' };
    const first = this.#lastRecorded + 1;
    const all = [...this.#recent, ...this.#undelivered];
    const missing = all.slice(all.length - (this.#lastSent - this.#lastRecorded)); // what the engine does not have
    const batch = missing.slice(0, MAX_BATCH);
    await this.engine.broadcast(generation, first, batch);
    if (this.#state?.generation !== generation) return; // the engine may have lost the batch
    this.#lastRecorded = Math.max(this.#lastRecorded, first + batch.length - 1);
  }

  get lastNumbers(): Record<string, number> {
    return Object.fromEntries(this.#lastNumbers);
  }

  get #lastSent(): number {
    return this.#lastDelivered + this.#undelivered.length;
  }

  get hasDeliveredOwnBroadcasts(): boolean {
    return this.#lastDelivered === this.#lastSent;
  }

  afterOwnBroadcasts(callback: () => void): void {
    this.#waiting.push({ number: this.#lastSent, callback });
  }

  onBroadcast(broadcast: PositionedBroadcast): void {
    if (this.#hasStopped() || broadcast.position <= this.#position) return;
    if (broadcast.position === this.#position + 1) this.#process(broadcast);
    else void this.catchUp().catch(() => {}); // a broadcast did not arrive here. The next beat tries again
  }

  /** Reads and processes the broadcasts that this node has missed. */
  async catchUp(): Promise<void> {
    const { broadcasts, generation } = await this.engine.readBroadcasts(this.#position);
    if (this.#state && generation !== this.#state.generation) {
      await this.#check(); // restores the sessions first, and then catches up
      return;
    }
    for (const broadcast of broadcasts) {
      if (broadcast.position > this.#position) this.#process(broadcast);
    }
  }

  #process(broadcast: PositionedBroadcast): void {
    this.#position = broadcast.position;
    for (const observe of this.#observers) observe(broadcast);
    const { sender, number } = broadcast;
    this.#lastNumbers.set(sender, Math.max(number, this.#lastNumbers.get(sender) ?? 0));
    this.#sessions.deliverBroadcast(broadcast);
    if (sender !== this.id || number <= this.#lastDelivered) return; // of another node, or appended again
    const delivered = this.#undelivered.splice(0, number - this.#lastDelivered);
    for (const each of delivered) this.#recent.push(each); // one `push` with too many arguments would throw
    this.#lastDelivered = number;
    this.#lastRecorded = Math.max(this.#lastRecorded, number);
    while (this.#waiting[0] && this.#waiting[0].number <= this.#lastDelivered) {
      this.#waiting.shift()?.callback();
    }
  }

  /** Forgets what was delivered before the previous beat: other nodes have had an interval to read it. */
  #forgetOldBroadcasts(): void {
    if (this.#lastRecorded < this.#lastDelivered) return; // they are being appended again
    this.#recent.splice(0, this.#recentAtBeat);
    this.#recentAtBeat = this.#recent.length;
  }

  /** Collects the broadcasts that this node processes. Returns a function that stops collecting, and returns them. */
  observeBroadcasts(): () => PositionedBroadcast[] {
    const processed: PositionedBroadcast[] = [];
    const observe = (broadcast: PositionedBroadcast) => processed.push(broadcast);
    this.#observers.add(observe);
    return () => {
      this.#observers.delete(observe);
      return processed;
    };
  }

  /**
   * Reads the broadcasts after a position, and collects those that this node processes in the meantime.
   *
   * @returns a function that stops collecting, and returns all broadcasts after the position that this node has
   * processed; undefined if the engine does not have all of them any more.
   */
  async broadcastsSince(position: number): Promise<(() => PositionedBroadcast[]) | undefined> {
    const stopObserving = this.observeBroadcasts();
    try {
      const { oldest, broadcasts } = await this.engine.readBroadcasts(position);
      await this.catchUp();
      if (oldest > position + 1) {
        stopObserving();
        return undefined;
      }
      return () => {
        const last = broadcasts.at(-1)?.position ?? position;
        const later = stopObserving().filter((each) => each.position > last);
        return [...broadcasts, ...later].filter((each) => each.position <= this.#position);
      };
    } catch (error) {
      stopObserving();
      throw error;
    }
  }
}
