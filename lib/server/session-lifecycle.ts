import { CloseCode } from '../protocol/close-code';
import type { Close } from '../protocol/wire';
import { Deadline } from './deadline';
import type { Journal } from './journal';
import { MAX_TIMEOUT } from './options';
import type { ResolvedOptions } from './options';
import type { Receiver } from './receiver';
import { sessionClosed, unknownSession } from './request-error';
import type { Discarded } from './send-buffer';
import type { Sender } from './sender';
import type { SessionEvents } from './session-events';
import { SseConnection } from './sse-connection';
import type { ReadyState } from './sse-connection';

/** Shortest time in milliseconds that a client has to answer the close event. */
export const CLOSE_TIMEOUT = 5_000;

/** Time in milliseconds that an application has to add a `message` listener to a closed connection. */
const LISTENER_TIMEOUT = 30_000;

/** What the life cycle needs of its session. */
export interface LifecycleOwner {
  readonly options: ResolvedOptions;
  readonly journal: Journal | undefined;
  /** Runs a change of the session. In a cluster, waits until all broadcasts that this node has sent are delivered. */
  inOrder(change: () => void): void;
  /** The session is closed: it sends and receives no more messages. */
  onClosed(): void;
  /** The client cannot resume the session here any more: the session has ended, or another node owns it. */
  onReleased(): void;
  /** The session is released, and `close` was emitted. */
  onEnded(): void;
}

/** The state of a session: open, closing or closed, and its timeouts for the client and for the application. */
export class SessionLifecycle {
  readonly #session: LifecycleOwner;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #events: SessionEvents;
  #readyState: ReadyState = SseConnection.OPEN;
  #closeInfo: Close | undefined;
  /** Whether nothing is sent any more, but the close event. */
  #isCloseDue = false;
  #isReleased = false;
  #isMoved = false;
  #isCloseEmitted = false;
  /** The messages that were unacknowledged when the session closed. */
  #unacknowledged: Discarded | undefined;
  /** Runs while no stream is attached. */
  #reconnectDeadline: Deadline | undefined;
  /** Runs from the close to the end of the session. */
  #closeDeadline: Deadline | undefined;
  /** Runs while a closed session has messages and the application has no listener for them. */
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

  /**
   * Whether the session sends messages: until it is closing or closed, and in a cluster until what was sent before the
   * close is delivered.
   */
  get isSending(): boolean {
    return !this.isClosed && !this.#isCloseDue;
  }

  /** The close code and reason, as soon as all messages before the close are queued. */
  get dueClose(): Close | undefined {
    return this.isSending || this.#isMoved ? undefined : this.#closeInfo; // if moved, the next owner writes it
  }

  /** Whether the client cannot resume the session here any more. */
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

  /**
   * Closes the session after everything that was sent, in a cluster also after the broadcasts of this node: the client
   * receives it, then the close event.
   */
  close(close: Close): void {
    if (!this.isOpen) return;
    this.#readyState = SseConnection.CLOSING;
    this.#closeInfo = close;
    this.#session.inOrder(() => this.closeAfterQueued(close));
  }

  /** Closes the session after the messages that are queued: the client receives them, then the close event. */
  closeAfterQueued(close: Close): void {
    if (!this.isSending) return;
    this.#readyState = SseConnection.CLOSING;
    this.#closeInfo = close;
    this.#isCloseDue = true;
    this.#session.journal?.recordClose(close, false);
    this.#limitClosing(close);
    // Has no effect without a stream: the client then has until `reconnectTimeout` to receive what it lacks.
    this.#sender.scheduleFlush();
  }

  /**
   * Limits how long the session is closing: the client has some time to receive what it lacks, and the same time to
   * answer. Otherwise a client that does not answer, but reconnects and sends messages, would keep the session.
   */
  #limitClosing(close: Close): void {
    if (this.#closeDeadline) return;
    const timeout = 2 * Math.max(this.#session.options.reconnectTimeout, CLOSE_TIMEOUT);
    const waitAgain = () => {
      this.#closeDeadline = undefined;
      this.#limitClosing(close);
    };
    this.#closeDeadline = new Deadline(Math.min(timeout, MAX_TIMEOUT), () =>
      this.#endUnlessMoved(() => this.terminate(close), waitAgain),
    );
  }

  /**
   * Calls `end`, in a cluster after a read from the engine, because the client may have reconnected at another node.
   *
   * @param waitAgain is called instead if the engine does not answer.
   */
  #endUnlessMoved(end: () => void, waitAgain: () => void): void {
    const { journal } = this.#session;
    if (!journal) return end();
    const unlessReleased = (action: () => void) => () => {
      if (!this.#isReleased) action();
    };
    void journal.readRecorded().then(unlessReleased(end), unlessReleased(waitAgain));
  }

  /** Closes the session without waiting for the client. If it is closing already, its code and reason do not change. */
  terminate(close: Close): void {
    this.setClosed(this.#closeInfo ?? close);
    this.release();
  }

  /**
   * Closes the session: no message is sent or received any more. `close` is emitted after the last received message.
   * Until {@link release}, the client can still receive the close event.
   */
  setClosed(close: Close): void {
    if (this.isClosed) return;
    this.#readyState = SseConnection.CLOSED;
    this.#closeInfo = close;
    this.#session.journal?.recordClose(close, true);
    this.#unacknowledged = this.#sender.clear();
    this.#receiver.close();
    if (!this.#isReleased) this.#limitClosing(close);
    this.#session.onClosed();
    if (this.#receiver.isEmpty) this.emitClose();
    else this.#limitWaitForListener();
  }

  /** If received messages wait for a listener, emits `close` without them unless the application adds one in time. */
  #limitWaitForListener(): void {
    if (this.#receiver.isEmpty || this.#receiver.hasListener) return;
    this.#listenerDeadline = new Deadline(LISTENER_TIMEOUT, () => {
      if (!this.#receiver.hasListener) this.emitClose();
    });
  }

  /** Removes the session from its middleware, so that the client cannot resume it any more. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    if (this.#closeInfo) this.setClosed(this.#closeInfo); // if it was closing
    this.#reconnectDeadline?.clear();
    this.#closeDeadline?.clear();
    this.#sender.stream?.end();
    this.#session.onReleased();
    if (this.#isCloseEmitted) this.#session.onEnded();
  }

  /**
   * Continues a session that a previous owner has closed: the client receives the close event, and the application
   * receives the messages that it has not handled, and then `close`.
   */
  restoreClosed(close: Close): void {
    this.#readyState = SseConnection.CLOSED;
    this.#closeInfo = close;
    this.#isCloseEmitted = this.#receiver.isEmpty; // without such messages, the application does not learn of it
    this.#unacknowledged = this.#sender.clear();
    this.#receiver.close();
    this.#session.onClosed();
    this.#limitWaitForListener();
  }

  /**
   * Ends the session at this node, but not its stream, because another one owns it. Emits `moved`, unless `close` was
   * emitted.
   */
  move(): void {
    if (this.#isReleased) return;
    this.#isMoved = true;
    this.#isReleased = true;
    this.#readyState = SseConnection.CLOSED;
    this.#reconnectDeadline?.clear();
    this.#closeDeadline?.clear();
    this.#listenerDeadline?.clear();
    this.#sender.clear();
    this.#receiver.close();
    this.#receiver.clear();
    this.#session.onClosed();
    this.#session.onReleased();
    if (!this.#isCloseEmitted) this.#events.moved();
  }

  /**
   * Waits for the client, which has no stream, for `reconnectTimeout`, and then ends the session.
   *
   * @param minimum lower bound of the timeout, in milliseconds.
   */
  waitForClient(minimum = 0): void {
    const timeout = Math.max(this.#session.options.reconnectTimeout, minimum);
    this.#reconnectDeadline?.clear();
    const reason = `the client did not reconnect within ${timeout} ms`;
    const giveUp = () => this.terminate({ code: CloseCode.abnormal, reason });
    if (timeout === 0) return giveUp();
    const deadline = new Deadline(timeout, () => {
      const ifStillWaiting = (action: () => void) => () => {
        if (deadline === this.#reconnectDeadline) action(); // the client has not reconnected here in the meantime
      };
      this.#endUnlessMoved(
        ifStillWaiting(giveUp),
        ifStillWaiting(() => this.waitForClient(minimum)),
      );
    });
    this.#reconnectDeadline = deadline;
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

  /** Emits `close`, once, if the session is closed and has not moved. Discards messages that are not delivered. */
  emitClose(): void {
    if (this.#isCloseEmitted || this.#isMoved || !this.#closeInfo || !this.#unacknowledged) return;
    this.#isCloseEmitted = true;
    this.#listenerDeadline?.clear();
    this.#receiver.clear();
    this.#events.close(this.#closeInfo, this.#unacknowledged);
    if (this.#isReleased) this.#session.onEnded();
  }
}
