import { CloseCode } from '../protocol/close-code';
import type { Close } from '../protocol/wire';
import type { Numbering, RecordedMessages } from './cluster-engine';
import { GapTimer } from './gap-timer';
import type { GapTimerOwner } from './gap-timer';
import type { Journal } from './journal';
import type { ResolvedOptions } from './options';
import type { Receiver } from './receiver';
import type { Sender } from './sender';
import type { SessionLifecycle } from './session-lifecycle';

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
  readonly #gapTimer = new GapTimer(this);
  #numbering: Numbering | undefined;
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
    this.#numbering = numbering;
  }

  /** Dart dialect: what the engine knew of the numbers when it was read last. */
  get numbering(): Numbering | undefined {
    return this.#numbering;
  }

  get reorderTimeout(): number {
    return this.#session.options.reorderTimeout;
  }

  receive({ first, messages, acknowledged, close, numbering }: RecordedMessages): void {
    const { lifecycle } = this.#session;
    if (lifecycle.isReleased) return;
    this.#session.onActivity();
    this.#sender.acknowledge(Math.min(acknowledged, this.#sender.written));
    if (first > this.#receiver.received) {
      return void this.verify(first).catch(() => {}); // the next heartbeat tries again
    }
    if (messages.length > 0) {
      this.#journal.onMessagesRecorded(first + messages.length);
      this.#receiver.receiveEncoded(first, messages);
    }
    if (numbering) {
      this.#numbering = numbering;
      this.#receiver.checkLimit();
      this.#watchGap();
    }
    if (close) lifecycle.terminate(close);
  }

  /** Reads what was recorded, one call at a time: several notifications need only one more. */
  async onNotified(): Promise<void> {
    this.#isNotified = true;
    if (this.#isReading) return;
    this.#isReading = true;
    while (this.#isNotified) {
      this.#isNotified = false;
      await this.#journal.tryReadRecorded();
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
    this.#session.fail({
      code: CloseCode.internalError,
      reason: 'acknowledged messages were lost',
    });
  }

  #watchGap(): void {
    if (this.#session.lifecycle.isClosed || !this.#numbering) return this.#gapTimer.stop();
    const { next, waiting } = this.#numbering;
    this.#gapTimer.watch(next, Object.keys(waiting).length);
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
