import { CloseCode } from '../protocol/close-code';
import type { Close } from '../protocol/wire';
import type { Numbering, ReadNumbering, RecordedMessages } from './cluster-engine';
import { GapTimer } from './gap-timer';
import type { GapTimerOwner } from './gap-timer';
import type { Journal } from './journal';
import type { ResolvedOptions } from './options';
import type { Receiver } from './receiver';
import type { Sender } from './sender';
import type { SessionLifecycle } from './session-lifecycle';
import { RETRY_DELAY, wait } from './wait';

/** Bytes of the messages that wait for others, up to which they are read each time that another one arrives. */
const MAX_WAITING = 4_096;

/** What the input that was recorded needs of its session. */
export interface RecordedInputOwner {
  readonly options: ResolvedOptions;
  readonly lifecycle: SessionLifecycle;
  /** The client has sent a request. */
  onActivity(): void;
  /** A message of the Dart dialect is missing, and did not arrive within `reorderTimeout`. */
  onMissingMessage(number: number): void;
  fail(close: Close): void;
}

/** In a cluster: gives a session what the engine has recorded for it, at whichever node it arrived. */
export class RecordedInput implements GapTimerOwner {
  readonly #session: RecordedInputOwner;
  readonly #journal: Journal;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  /** Dart dialect. */
  readonly #gapTimer: GapTimer | undefined;
  /** Dart dialect: the last numbering that was read with all messages that waited. */
  #complete: Numbering | undefined;
  /** Dart dialect: the last numbering that was read. */
  #numbering: Omit<ReadNumbering, 'waiting'> | undefined;
  #isReading = false;
  #isNotified = false;

  /** @param numbering Dart dialect: what the engine knows of the numbers. */
  constructor(
    session: RecordedInputOwner,
    journal: Journal,
    sender: Sender,
    receiver: Receiver,
    numbering: Numbering | undefined,
  ) {
    this.#session = session;
    this.#journal = journal;
    this.#sender = sender;
    this.#receiver = receiver;
    this.#gapTimer = numbering && new GapTimer(this);
    this.#complete = numbering;
    const waitingCount = Object.keys(numbering?.waiting ?? {}).length;
    this.#numbering = numbering && { ...numbering, waitingCount };
  }

  /** Dart dialect: what this node knows of the numbers. It may lack messages that wait. */
  get numbering(): Numbering | undefined {
    if (!this.#numbering) return undefined;
    const { first, next = 0 } = this.#numbering;
    const known = Object.entries(this.#complete?.waiting ?? {});
    const waiting = Object.fromEntries(known.filter(([number]) => Number(number) >= next));
    return { first, next: this.#numbering.next, waiting };
  }

  get reorderTimeout(): number {
    return this.#session.options.reorderTimeout;
  }

  /** Another node has recorded a POST of the client. */
  onTaken(recorded: RecordedMessages): void {
    if (!this.#session.lifecycle.isReleased) this.#session.onActivity();
    this.receive(recorded);
  }

  /** Receives what the engine has recorded. */
  receive({ first, messages, acknowledged, close, numbering }: RecordedMessages): void {
    const { lifecycle } = this.#session;
    if (lifecycle.isReleased) return;
    if (lifecycle.isClosed) {
      if (close) lifecycle.terminate(close); // messages are not delivered after `close`
      return;
    }
    const acknowledgedWritten = Math.min(acknowledged, this.#sender.written);
    // The notification of a POST may have been lost.
    const isFromClient = messages.length > 0 || acknowledgedWritten > this.#sender.oldest;
    if (isFromClient) this.#session.onActivity();
    this.#sender.acknowledge(acknowledgedWritten);
    if (first > this.#receiver.received) {
      return void this.verify(first).catch(() => {}); // the next heartbeat tries again
    }
    if (messages.length > 0) {
      this.#journal.onMessagesRecorded(first + messages.length);
      this.#receiver.receiveEncoded(first, messages);
    }
    if (numbering) this.#onNumbering(numbering);
    if (close) lifecycle.terminate(close);
  }

  #onNumbering({ waiting, ...numbering }: ReadNumbering): void {
    this.#numbering = numbering;
    if (waiting) this.#complete = { ...numbering, waiting };
    this.#receiver.checkLimit();
    this.#watchGap();
  }

  /** The engine has lost its data, and has received what this node knows: closes the session if messages are missing. */
  onRestored(): void {
    const known = Object.keys(this.numbering?.waiting ?? {}).length;
    if (known < (this.#numbering?.waitingCount ?? 0)) this.#failBecauseOfLoss();
  }

  /** The session is closed: no message is missing any more. */
  close(): void {
    this.#gapTimer?.stop();
  }

  /** Reads what was recorded, until the engine answers. One call at a time: several notifications need only one more. */
  async onNotified(): Promise<void> {
    if (!this.#session.lifecycle.isReleased) this.#session.onActivity();
    this.#isNotified = true;
    if (this.#isReading) return;
    this.#isReading = true;
    while (this.#isNotified && !this.#journal.hasStopped()) {
      this.#isNotified = false;
      try {
        await this.#journal.readRecorded(MAX_WAITING);
      } catch {
        this.#isNotified = true;
        await wait(RETRY_DELAY.max);
      }
    }
    this.#isReading = false;
  }

  /**
   * Reads the messages before number `first` if this node lacks them, and finds out whether another node is the owner.
   * If the engine does not have the messages either, acknowledged messages were lost, and the session is closed.
   */
  async verify(first: number): Promise<void> {
    await this.#journal.readRecorded();
    if (first <= this.#receiver.received || this.#session.lifecycle.isMoved) return;
    this.#failBecauseOfLoss();
  }

  #failBecauseOfLoss(): void {
    const reason = 'acknowledged messages were lost';
    this.#session.fail({ code: CloseCode.internalError, reason });
  }

  #watchGap(): void {
    if (this.#session.lifecycle.isClosed || !this.#numbering) return this.close();
    const { next, waitingCount } = this.#numbering;
    this.#gapTimer?.watch(next, waitingCount);
  }

  onFirstNumberDue(): void {
    const started = this.#journal.startNumbering().then(() => this.#journal.readRecorded());
    const watch = () => this.#watchGap(); // again, if the engine does not answer
    void started.then(watch, watch);
  }

  onMissing(number: number): void {
    const closeIfMissing = () => {
      const isMissing = this.#numbering?.next === number && !this.#session.lifecycle.isClosed;
      if (isMissing) this.#session.onMissingMessage(number);
      this.#watchGap();
    };
    void this.#journal.readRecorded().then(closeIfMissing, () => this.#watchGap());
  }
}
