import type { EncodedMessage } from '../protocol/message';
import type { Close } from '../protocol/wire';
import type {
  PositionedBroadcast,
  RecordedMessages,
  SessionChanges,
  SessionIdentity,
  StoredClose,
  StoredSession,
} from './cluster-engine';
import type { JournalNode, JournalStart } from './journal-node';
import { encodeMessage } from './message';
import { engineUnavailable } from './request-error';
import { isRepeated } from './session-log';
import type { SessionLog } from './session-log';
import { UnhandledMessages } from './unhandled-messages';
import { waitAtMost } from './wait';

/** Number of broadcasts after which the checkpoint of a session is written although nothing else has changed. */
const MAX_CHECKPOINT_AGE = 1_000;

/** While the engine keeps this many messages of a session until they are handled, the nodes record no more of them. */
export const MAX_UNHANDLED = 65_536;

/** Longest time in milliseconds that a POST waits for the engine. */
const RECORD_TIMEOUT = 2_000;

/** What a journal needs of its session. */
export interface JournalOwner {
  readonly id: string;
  /** The engine has recorded changes, so that more messages may be written. */
  onRecorded(): void;
  /** Other nodes have recorded these messages of the client. */
  receiveRecorded(recorded: RecordedMessages): void;
  /** Another node owns the session now. */
  onMoved(): void;
}

/**
 * Records a session in the engine of the cluster. No message is written to the client, and none is acknowledged,
 * before the engine has recorded it. What a `message` listener does is recorded in the same commit as the fact that the
 * message is handled, so that after a crash both have happened or neither.
 */
export class Journal {
  readonly epoch: number;
  /** Whether the next batch of the client may be one that the previous owner has delivered, but not recorded. */
  expectsRepetition: boolean;
  readonly #session: JournalOwner;
  readonly #node: JournalNode;
  #log: SessionLog;
  #checkpointPosition: number;
  #state: string;
  #isStateChanged = false;
  #close: StoredClose | undefined;
  #isCloseChanged = false;

  /** See {@link StoredSession}. */
  #lastNumbers: StoredSession['lastNumbers'];
  /** The received messages that the application has not handled. */
  readonly unhandled: UnhandledMessages;
  #received: number;
  /** Number of received messages that the engine has recorded. */
  #recordedReceived: number;

  /** Number of changes so far. */
  #version = 0;
  /** Number of changes that the engine has recorded. */
  #recordedVersion = 0;
  /** Number of the last commit. */
  #sequence: number;
  /** Number of the last commit that the engine has confirmed. */
  #recordedSequence: number;
  /** Callbacks of {@link whenRecorded}, with the version that they wait for. */
  #waiting: { version: number; resolve: (isRecorded: boolean) => void }[] = [];
  /** Number of changes that {@link inOrder} has postponed. */
  #deferred = 0;
  #isCommitting = false;
  /** Whether nothing is committed, because the whole session is written to the engine: see {@link detach}. */
  #isDetached = false;
  #isStopped = false;

  constructor(session: JournalOwner, node: JournalNode, start: JournalStart) {
    this.#session = session;
    this.#node = node;
    this.epoch = start.epoch;
    this.expectsRepetition = start.isInterrupted;
    this.#sequence = this.#recordedSequence = start.sequence;
    this.#log = start.log;
    this.#checkpointPosition = start.log.checkpointAt(0).position;
    this.#state = start.state;
    this.#received = this.#recordedReceived = start.received;
    this.unhandled = new UnhandledMessages(start.handled, start.unhandled);
    this.#lastNumbers = start.lastNumbers;
  }

  /** Number of messages to the client that may be written. */
  get released(): number {
    return this.#log.released;
  }

  /** Number of the client's messages that this node has received. */
  get received(): number {
    return this.#received;
  }

  /** Number of the client's messages that the engine has recorded. */
  get recordedReceived(): number {
    return this.#recordedReceived;
  }

  /** `connection.state` as JSON, '' for none. */
  get state(): string {
    return this.#state;
  }

  // --- Changes -------------------------------------------------------------------------------------

  /** Whether {@link inOrder} runs a change at once. */
  get isInOrder(): boolean {
    return this.#node.hasDeliveredOwnBroadcasts;
  }

  /**
   * Runs a change of the session after all broadcasts that this node has sent so far are delivered, so that clients see
   * the application's messages in the order of its calls. Until then nothing is committed: a change that a listener has
   * made must be part of the commit that records its message as handled.
   */
  inOrder(change: () => void): void {
    if (this.isInOrder) return change();
    this.#deferred++;
    this.#version++; // so that `whenRecorded` waits for the change
    this.#node.afterOwnBroadcasts(() => {
      this.#deferred--;
      if (!this.hasStopped()) change();
      this.#scheduleCommit();
    });
  }

  recordMessage(message: EncodedMessage): void {
    this.#log.addMessage(message, this.#node.position);
    this.#markChanged();
  }

  /** Returns false if the session received the broadcast before the engine lost its data: see {@link StoredSession}. */
  recordBroadcast(broadcast: PositionedBroadcast): boolean {
    if (isRepeated(broadcast, this.#lastNumbers)) return false;
    this.#log.addBroadcast(broadcast);
    return true;
  }

  recordRoom(change: 'join' | 'leave', room: string): void {
    this.#log.addRoom(change, room, this.#node.position);
    this.#markChanged();
  }

  /** @param json '' for no state. */
  recordState(json: string): void {
    this.#state = json;
    this.#isStateChanged = true;
    this.#markChanged();
  }

  /** @param isClosed see {@link StoredClose}. */
  recordClose({ code, reason }: Close, isClosed: boolean): void {
    this.#close = { code, reason, isClosed };
    this.#isCloseChanged = true;
    this.#markChanged();
  }

  /** Records that a message of the client was received, in order. */
  recordReceived(message: unknown): void {
    this.unhandled.push(encodeMessage(message));
    this.#received++;
    this.#markChanged();
  }

  /** The engine has recorded this many messages of the client, some of them possibly by other nodes. */
  onMessagesRecorded(received: number): void {
    this.#recordedReceived = Math.max(this.#recordedReceived, received);
  }

  /** Records that the application has handled a message. */
  recordHandled(number: number): void {
    if (this.unhandled.onHandled(number)) this.#markChanged();
  }

  /** Records that the client has acknowledged this many messages. */
  acknowledge(count: number): void {
    if (this.#log.acknowledge(count)) this.#markChanged();
  }

  // --- Commits -------------------------------------------------------------------------------------

  /**
   * Waits until the engine has recorded all changes so far, including those that {@link inOrder} has postponed.
   *
   * @returns false if another node owns the session.
   * @throws SseRequestError if the engine does not answer in time.
   */
  async whenRecorded(): Promise<boolean> {
    if (this.isRecorded) return !this.hasStopped();
    const version = this.#version;
    const isRecorded = new Promise<boolean>((resolve) => this.#waiting.push({ version, resolve }));
    return waitAtMost(RECORD_TIMEOUT, isRecorded, () => {
      throw engineUnavailable();
    });
  }

  /** Whether the engine has recorded all changes so far, or nothing more is recorded. */
  get isRecorded(): boolean {
    return this.#isStopped || this.#version === this.#recordedVersion;
  }

  /** Whether the engine has recorded all messages that were delivered to the application. */
  get isEveryDeliveryRecorded(): boolean {
    return this.unhandled.delivered <= this.#recordedReceived;
  }

  /**
   * Resolves when the application has handled all delivered messages, and the engine has recorded that. May never
   * resolve, so that callers must limit the wait.
   */
  async whenSettled(): Promise<void> {
    await this.unhandled.whenHandled();
    await this.whenRecorded();
  }

  /**
   * Reads the messages that other nodes have recorded, because a notification may have been lost. Also finds out
   * whether another node owns the session.
   *
   * @param maxWaiting see `ClusterEngine.read`.
   * @throws SseRequestError if the engine does not answer.
   */
  async readRecorded(maxWaiting = 0): Promise<void> {
    if (this.hasStopped()) return;
    const sequence = this.#recordedSequence;
    let recorded;
    try {
      const { id } = this.#session;
      recorded = await this.#node.read(id, this.epoch, this.#received, maxWaiting);
    } catch (error) {
      throw engineUnavailable(error);
    }
    if (this.hasStopped()) return;
    if (recorded) this.#session.receiveRecorded(recorded);
    else this.#onNotOwner();
    // A session without traffic moves only its checkpoint: the engine must keep all broadcasts that follow it.
    const isOld = this.#node.position > this.#checkpointPosition + MAX_CHECKPOINT_AGE;
    const isCommitLost = recorded?.sequence !== undefined && recorded.sequence < sequence;
    // The engine rejects a commit that does not follow the last one that it has.
    if (isOld || isCommitLost) this.#markChanged();
  }

  /** Calls {@link readRecorded}, and ignores its errors. */
  async tryReadRecorded(maxWaiting?: number): Promise<void> {
    await this.readRecorded(maxWaiting).catch(() => {}); // the next heartbeat tries again
  }

  /** Dart dialect: makes the lowest number that has arrived the first one. Rejects if the engine does not answer. */
  async startNumbering(): Promise<void> {
    if (!this.hasStopped()) await this.#node.startNumbering(this.#session.id, this.epoch);
  }

  /**
   * Prepares the session to be written to an engine that has lost it. The broadcasts in the log become messages of the
   * session. Until {@link onRestored}, nothing is committed and nothing is written to the client.
   */
  detach(): void {
    this.#isDetached = true;
    this.#log = this.#log.withoutBroadcasts(this.#node.position);
    this.#lastNumbers = this.#node.lastNumbers;
  }

  /** Returns the whole session, to be written to the engine after {@link detach}. */
  snapshot(): Omit<StoredSession, keyof SessionIdentity | 'subprotocol' | 'numbering'> {
    return {
      epoch: this.epoch,
      sequence: ++this.#sequence,
      checkpoint: this.#log.checkpointAt(this.#node.position),
      log: this.#log.unrecorded.log,
      received: this.#received,
      handled: this.unhandled.first,
      unhandled: [...this.unhandled.messages],
      state: this.#state,
      close: this.#close,
      closedByClient: undefined,
      lastNumbers: this.#lastNumbers,
    };
  }

  /** The engine has recorded what {@link snapshot} returned. */
  onRestored({
    sequence,
    log,
    received,
  }: Pick<StoredSession, 'sequence' | 'log' | 'received'>): void {
    this.#recordedSequence = sequence;
    this.#log.onRecorded(log.length);
    this.#recordedReceived = received;
    this.#isDetached = false;
    this.#session.onRecorded();
    this.#markChanged();
  }

  /** Whether nothing more is recorded. A method, because TypeScript assumes that a property keeps its value. */
  hasStopped(): boolean {
    return this.#isStopped;
  }

  /** Commits nothing more. Pending calls of {@link whenRecorded} resolve with false. */
  stop(): void {
    this.#isStopped = true;
    for (const { resolve } of this.#waiting.splice(0)) resolve(false);
  }

  /** Another node owns the session. */
  #onNotOwner(): void {
    this.stop();
    this.#session.onMoved();
  }

  /** Counts a change, and commits it soon. */
  #markChanged(): void {
    this.#version++;
    this.#scheduleCommit();
  }

  #scheduleCommit(): void {
    if (this.#isCommitting || this.hasStopped()) return;
    this.#isCommitting = true;
    // In a microtask, so that all changes of one listener are in one commit.
    queueMicrotask(() => void this.#commitAll());
  }

  async #commitAll(): Promise<void> {
    while (this.#recordedVersion < this.#version && this.#mayCommit) await this.#commitOnce();
    this.#isCommitting = false;
  }

  get #mayCommit(): boolean {
    return this.#deferred === 0 && !this.#isDetached && !this.#isStopped;
  }

  async #commitOnce(): Promise<void> {
    const version = this.#version;
    const log = this.#log;
    const changes = this.#collectChanges();
    const isWanted = () => !this.#isStopped;
    const result = await this.#node.commit(this.#session.id, this.epoch, changes, isWanted);
    if (this.hasStopped() || result === 'restored') return;
    if (!result) return this.#onNotOwner();
    this.#recordedVersion = version;
    this.#recordedSequence = changes.sequence;
    this.#checkpointPosition = changes.checkpoint.position;
    // Unless the application has changed them again in the meantime.
    if (this.#state === changes.state) this.#isStateChanged = false;
    if (this.#close === changes.close) this.#isCloseChanged = false;
    log.onRecorded(changes.log.length);
    this.onMessagesRecorded(changes.received);
    this.#session.onRecorded();
    const isDone = (each: { version: number }) => each.version <= version;
    for (const { resolve } of this.#waiting.filter(isDone)) resolve(true);
    this.#waiting = this.#waiting.filter((each) => !isDone(each));
    if (result.received > this.#received) await this.tryReadRecorded(); // another node has recorded messages
  }

  /** Returns what the engine has not recorded yet. */
  #collectChanges(): SessionChanges {
    const { first: handled, messages } = this.unhandled;
    const firstMessage = Math.max(handled, this.#recordedReceived);
    const changes: SessionChanges = {
      sequence: ++this.#sequence,
      received: this.#received,
      handled,
      firstMessage,
      messages: messages.slice(firstMessage - handled),
      ...this.#log.unrecorded,
      checkpoint: this.#log.checkpointAt(this.#node.position),
    };
    if (this.#isStateChanged) changes.state = this.#state;
    if (this.#isCloseChanged) changes.close = this.#close;
    return changes;
  }
}
