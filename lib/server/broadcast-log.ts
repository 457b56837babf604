import type { Broadcast, ClusterEngine, EngineState, PositionedBroadcast } from './cluster-engine';

/** Largest number of broadcasts in one call, because an engine may answer no other call before it has appended them. */
const MAX_BATCH = 1_000;

/** What the log of broadcasts needs of its node. */
export interface BroadcastNode {
  readonly id: string;
  /** Id of the engine's generation that this node knows; '' before it is connected. */
  readonly generation: string;
  /** Resolves when the node is connected to the engine. */
  readonly ready: Promise<void>;
  hasStopped(): boolean;
  /** Repeats a call until the engine answers it. Rejects if the node stops before. */
  untilAnswered<Result>(call: () => Promise<Result>): Promise<Result>;
  /** Checks the engine: if it has lost its data, restores the sessions first, and then catches up. */
  check(): Promise<unknown>;
  /** Sends a broadcast to the sessions that it is for. */
  deliverBroadcast(broadcast: PositionedBroadcast): void;
  /** Closes all sessions: the engine does not have all broadcasts any more that they have not received. */
  onBroadcastsLost(): void;
}

/** The position of a node in the log of broadcasts, and its own broadcasts that the engine or other nodes may lack. */
export class BroadcastLog {
  readonly #node: BroadcastNode;
  readonly #engine: ClusterEngine;
  #position = 0;
  /** Position of the last broadcast that the engine had lost before this node could read it. */
  #lastLost = 0;
  /** For each node, the number of its last broadcast that was processed here. */
  #lastNumbers = new Map<string, number>();
  /** Callbacks of {@link observe}. */
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
  /** Callbacks of {@link afterOwn}, with the number of the broadcast that they wait for. */
  readonly #waiting: { number: number; callback: () => void }[] = [];

  constructor(node: BroadcastNode, engine: ClusterEngine) {
    this.#node = node;
    this.#engine = engine;
  }

  /** Position of the last broadcast that this node has processed. */
  get position(): number {
    return this.#position;
  }

  /** For each node, the number of its last broadcast that was processed here. A copy. */
  get lastNumbers(): Record<string, number> {
    return Object.fromEntries(this.#lastNumbers);
  }

  /** Begins at the end of the log: the node has no sessions yet. */
  start({ position, lastNumbers }: EngineState): void {
    this.#position = position;
    this.#lastNumbers = new Map(Object.entries(lastNumbers));
  }

  // --- The engine has lost its data ----------------------------------------------------------------

  /** Moves to where the new log begins. */
  beginGeneration({ base }: EngineState): void {
    this.#position = Math.max(this.#position, base);
  }

  /** Appends the recent broadcasts again, to the new log. */
  appendAgain(): void {
    this.#lastRecorded = this.#lastDelivered - this.#recent.length;
    this.#recentAtBeat = 0;
    if (!this.#isSending) void this.#sendAll();
  }

  /** Forgets what was delivered before the previous beat: other nodes have had an interval to read it. */
  forgetOld(): void {
    if (this.#lastRecorded < this.#lastDelivered) return; // they are being appended again
    this.#recent.splice(0, this.#recentAtBeat);
    this.#recentAtBeat = this.#recent.length;
  }

  /** Forgets a node that sends no more broadcasts. */
  forgetSender(nodeId: string): void {
    this.#lastNumbers.delete(nodeId);
  }

  // --- Sending -------------------------------------------------------------------------------------

  /** Sends a broadcast to the sessions of all nodes, including this one. */
  send(broadcast: Broadcast): void {
    this.#undelivered.push(broadcast);
    if (!this.#isSending) void this.#sendAll();
  }

  async #sendAll(): Promise<void> {
    this.#isSending = true;
    await this.#node.ready.catch(() => {});
    while (this.#lastRecorded < this.#lastSent && !this.#node.hasStopped()) {
      await this.#node.untilAnswered(() => this.#append()).catch(() => {});
    }
    this.#isSending = false;
  }

  async #append(): Promise<void> {
    const { generation } = this.#node;
    const first = this.#lastRecorded + 1;
    const all = [...this.#recent, ...this.#undelivered];
    const missing = all.slice(all.length - (this.#lastSent - this.#lastRecorded)); // what the engine does not have
    const batch = missing.slice(0, MAX_BATCH);
    await this.#engine.broadcast(generation, first, batch);
    if (this.#node.generation !== generation) return; // the engine may have lost the batch
    this.#lastRecorded = Math.max(this.#lastRecorded, first + batch.length - 1);
  }

  get #lastSent(): number {
    return this.#lastDelivered + this.#undelivered.length;
  }

  /** Whether all broadcasts that this node has sent so far are delivered to its sessions, and what waited for them. */
  get hasDeliveredOwn(): boolean {
    return this.#lastDelivered === this.#lastSent && this.#waiting.length === 0;
  }

  /** Calls back when all broadcasts that this node has sent so far are delivered. */
  afterOwn(callback: () => void): void {
    this.#waiting.push({ number: this.#lastSent, callback });
  }

  // --- Receiving -----------------------------------------------------------------------------------

  /** A broadcast was appended to the log. */
  onAppended(broadcast: PositionedBroadcast): void {
    if (broadcast.position <= this.#position) return;
    if (broadcast.position === this.#position + 1) this.#process(broadcast);
    else void this.catchUp().catch(() => {}); // a broadcast did not arrive here. The next beat tries again
  }

  /**
   * Reads and processes the broadcasts that this node has missed.
   *
   * @param state of the engine, if the node is checking it. If the engine has lost its data since, the next check catches
   * up: this one would wait for itself.
   */
  async catchUp(state?: EngineState): Promise<void> {
    const { oldest, broadcasts, generation } = await this.#engine.readBroadcasts(this.#position);
    const isOther = ![generation, ''].includes(this.#node.generation);
    const isIncomplete = oldest > this.#position + 1;
    // The check restores the sessions if needed, and catches up with the state, which says which broadcasts are lost.
    if (!state && (isOther || isIncomplete)) await this.#node.check();
    if (isOther || (!state && isIncomplete)) return;
    if (isIncomplete) {
      this.#position = this.#lastLost = oldest - 1;
      this.#node.onBroadcastsLost();
    }
    for (const broadcast of broadcasts) {
      if (broadcast.position > this.#position) this.#process(broadcast);
    }
    if (isIncomplete && state) this.#skipLost(state);
  }

  /** The broadcasts up to this state are processed or lost. */
  #skipLost({ lastNumbers }: EngineState): void {
    for (const [sender, number] of Object.entries(lastNumbers)) this.#count(sender, number);
    this.#onDelivered(lastNumbers[this.#node.id] ?? 0);
  }

  #process(broadcast: PositionedBroadcast): void {
    this.#position = broadcast.position;
    for (const observe of this.#observers) observe(broadcast);
    const { sender, number } = broadcast;
    this.#count(sender, number);
    this.#node.deliverBroadcast(broadcast);
    if (sender === this.#node.id) this.#onDelivered(number);
  }

  #count(sender: string, number: number): void {
    this.#lastNumbers.set(sender, Math.max(number, this.#lastNumbers.get(sender) ?? 0));
  }

  /** The broadcasts of this node up to this number are delivered to its sessions. */
  #onDelivered(number: number): void {
    if (number <= this.#lastDelivered) return; // it was appended again
    const delivered = this.#undelivered.splice(0, number - this.#lastDelivered);
    for (const each of delivered) this.#recent.push(each); // one `push` with too many arguments would throw
    this.#lastDelivered = number;
    this.#lastRecorded = Math.max(this.#lastRecorded, number);
    while (this.#waiting[0] && this.#waiting[0].number <= this.#lastDelivered) {
      this.#waiting.shift()?.callback();
    }
  }

  /** Collects the broadcasts that this node processes. Returns a function that stops collecting, and returns them. */
  observe(): () => PositionedBroadcast[] {
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
  async since(position: number): Promise<() => PositionedBroadcast[] | undefined> {
    const stopObserving = this.observe();
    try {
      const { oldest, broadcasts } = await this.#engine.readBroadcasts(position);
      await this.catchUp();
      return () => {
        const observed = stopObserving();
        const last = broadcasts.at(-1)?.position ?? position;
        if (oldest > position + 1 || this.#lastLost > last) return undefined;
        const later = observed.filter((each) => each.position > last);
        return [...broadcasts, ...later].filter((each) => each.position <= this.#position);
      };
    } catch (error) {
      stopObserving();
      throw error;
    }
  }
}
