import { CloseCode } from '../protocol/close-code';
import type { Close } from '../protocol/wire';
import { Deadline } from './deadline';
import type { Journal } from './journal';
import type { ResolvedOptions } from './options';
import type { Receiver } from './receiver';
import { sessionClosed, unknownSession } from './request-error';
import type { Discarded } from './send-buffer';
import type { Sender } from './sender';
import type { SessionEvents } from './session-events';
import { SseConnection } from './sse-connection';
import type { ReadyState } from './sse-connection';

/** Time in milliseconds that an application has to add a `message` listener to a closed connection. */
const LISTENER_TIMEOUT = 30_000;

/** What the life cycle needs of its session. */
export interface LifecycleOwner {
  readonly options: ResolvedOptions;
  readonly journal: Journal | undefined;
  /** Nothing is sent or received any more. */
  onClosed(): void;
  /** The session cannot be resumed any more: the client is done with it, or another node has it. */
  onReleased(): void;
  /** The client and the application are done with the session. */
  onEnded(): void;
}

/** The state of a session: open, closing or closed, and how long it waits for whom. */
export class SessionLifecycle {
  readonly #session: LifecycleOwner;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #events: SessionEvents;
  #readyState: ReadyState = SseConnection.OPEN;
  #closeInfo: Close | undefined;
  #isReleased = false;
  #isMoved = false;
  #isCloseEmitted = false;
  /** What was unacknowledged when the session closed. */
  #unacknowledged: Discarded | undefined;
  /** Runs while no stream is attached. */
  #reconnectDeadline: Deadline | undefined;
  /** Runs while a closed session has messages that the application does not listen for. */
  #listenerDeadline: Deadline | undefined;

  constructor(session: LifecycleOwner, sender: Sender, receiver: Receiver, events: SessionEvents) {
    this.#session = session;
    this.#sender = sender;
    this.#receiver = receiver;
    this.#events = events;
  }

  get readyState(): ReadyState {
    return this.#readyState;
  }

  get isOpen(): boolean {
    return this.#readyState === SseConnection.OPEN;
  }

  get isClosed(): boolean {
    return this.#readyState === SseConnection.CLOSED;
  }

  /** The code and reason of the end, while the session is closing or closed. */
  get closeInfo(): Close | undefined {
    return this.#closeInfo;
  }

  /** Whether the session cannot be resumed any more. */
  get isReleased(): boolean {
    return this.#isReleased;
  }

  /** Whether another node owns the session. */
  get isMoved(): boolean {
    return this.#isMoved;
  }

  get isCloseEmitted(): boolean {
    return this.#isCloseEmitted;
  }

  /** Closes the session after everything that was sent: the client receives that, then `close`. */
  close(close: Close): void {
    if (!this.isOpen) return;
    this.#readyState = SseConnection.CLOSING;
    this.#closeInfo = close;
    const { journal } = this.#session;
    journal?.inOrder(() => journal.recordClose(close, false));
    // Without a stream, the client has until `reconnectTimeout` to receive the rest.
    this.#sender.scheduleFlush();
  }

  /** Closes the session immediately, without waiting for the client. */
  terminate(close: Close): void {
    this.setClosed(this.#closeInfo ?? close);
    this.release();
  }

  /** From now on nothing is sent or received. `close` is emitted after the last message. */
  setClosed(close: Close): void {
    if (this.isClosed) return;
    this.#readyState = SseConnection.CLOSED;
    this.#closeInfo = close;
    this.#session.journal?.recordClose(close, true);
    this.#unacknowledged = this.#sender.clear();
    this.#receiver.close();
    this.#session.onClosed();
    if (this.#receiver.isEmpty) this.emitClose();
    else this.#limitWaitForListener();
  }

  #limitWaitForListener(): void {
    if (this.#receiver.isEmpty || this.#receiver.hasListener) return;
    this.#listenerDeadline = new Deadline(LISTENER_TIMEOUT, () => {
      if (!this.#receiver.hasListener) this.emitClose();
    });
  }

  /** Ends the wait for the client: the session cannot be resumed any more. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    if (this.#closeInfo) this.setClosed(this.#closeInfo);
    this.#reconnectDeadline?.clear();
    this.#sender.stream?.end();
    this.#session.onReleased();
    if (this.#isCloseEmitted) this.#session.onEnded();
  }

  /**
   * Continues a session that a previous owner has closed. Its client has not been told yet. The application is told if
   * it has not handled all messages.
   */
  restoreClosed(close: Close): void {
    this.#readyState = SseConnection.CLOSED;
    this.#closeInfo = close;
    this.#isCloseEmitted = this.#receiver.isEmpty;
    this.#unacknowledged = this.#sender.clear();
    this.#receiver.close();
    this.#session.onClosed();
    this.#limitWaitForListener();
  }

  /** The session continues at another node. `close` is not emitted. */
  move(): void {
    if (this.#isReleased) return;
    this.#isMoved = true;
    this.#isReleased = true;
    this.#readyState = SseConnection.CLOSED;
    this.#reconnectDeadline?.clear();
    const { stream } = this.#sender;
    this.#sender.clear();
    this.#receiver.close();
    this.#receiver.clear();
    stream?.destroy();
    this.#session.onClosed();
    this.#session.onReleased();
    this.#events.moved();
  }

  /**
   * Waits for the client, which has no stream, for `reconnectTimeout`.
   *
   * @param minimum lower bound of the timeout, in milliseconds.
   */
  waitForClient(minimum = 0): void {
    const timeout = Math.max(this.#session.options.reconnectTimeout, minimum);
    this.#reconnectDeadline?.clear();
    if (timeout === 0) return this.#giveUp(timeout);
    const { journal } = this.#session;
    this.#reconnectDeadline = new Deadline(timeout, () => {
      if (!journal) return this.#giveUp(timeout);
      // The client may have reconnected at another node.
      const deadline = this.#reconnectDeadline;
      const giveUp = () => {
        if (!this.#isReleased && deadline === this.#reconnectDeadline) this.#giveUp(timeout);
      };
      void journal.readRecorded().then(giveUp, () => this.waitForClient(minimum));
    });
  }

  #giveUp(timeout: number): void {
    const reason = `the client did not reconnect within ${timeout} ms`;
    this.setClosed(this.#closeInfo ?? { code: CloseCode.abnormal, reason });
    this.release();
  }

  onAttached(): void {
    this.#reconnectDeadline?.clear();
    this.#reconnectDeadline = undefined;
  }

  /** @throws SseRequestError if the session accepts no more requests. */
  rejectIfClosed(): void {
    if (this.#isReleased) throw unknownSession();
    if (this.isClosed && this.#closeInfo) throw sessionClosed(this.#closeInfo);
  }

  emitIfOpen(event: 'disconnect' | 'reconnect' | 'drain'): void {
    if (this.isOpen) this.#events[event]();
  }

  /** Emits `close` if everything before was emitted. */
  emitClose(): void {
    if (this.#isCloseEmitted || !this.#closeInfo || !this.#unacknowledged) return;
    this.#isCloseEmitted = true;
    this.#listenerDeadline?.clear();
    this.#receiver.clear();
    this.#events.close(this.#closeInfo, this.#unacknowledged);
    if (this.#isReleased) this.#session.onEnded();
  }
}
