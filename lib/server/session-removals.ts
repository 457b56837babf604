import type { ClusterNode } from './cluster-node';
import type { Session } from './session';
import type { SessionCalls } from './session-calls';
import { waitAtMost } from './wait';

/** Time in milliseconds that an application has to handle the messages of a session that has ended. */
const HANDLING_TIMEOUT = 30_000;

/** Deletes the sessions of this node that have ended, after the application has handled their messages. */
export class SessionRemovals {
  readonly #node: ClusterNode;
  readonly #calls: SessionCalls;
  /** The sessions that have ended here, and that are not deleted. */
  readonly #ended = new Set<Session>();
  /** The deletions that are in progress. */
  readonly #removals = new Map<Session, Promise<void>>();
  /** Callbacks that end the wait for the application. */
  readonly #handlings = new Set<() => void>();

  constructor(node: ClusterNode, calls: SessionCalls) {
    this.#node = node;
    this.#calls = calls;
  }

  /**
   * Returns a session that has ended here, but is not deleted: the application has not read or handled its messages, or
   * the engine has not answered.
   *
   * @param epoch if given, that of the session.
   */
  find(id: string, epoch?: number): Session | undefined {
    for (const session of this.#ended) {
      const { journal } = session;
      // Another session has the id if the journal was stopped and the deletion has not begun.
      const isCurrent = this.#removals.has(session) || !journal?.hasStopped();
      const isMatch = session.id === id && (epoch === undefined || journal?.epoch === epoch);
      if (isCurrent && isMatch) return session;
    }
    return undefined;
  }

  /** The client of a session cannot resume it here any more. If it has ended, {@link remove} follows. */
  onReleased(session: Session): void {
    if (!session.lifecycle.isMoved) this.#ended.add(session);
  }

  /** Deletes a session. If this node is killed before, the next owner delivers the messages that are not handled again. */
  remove(session: Session): Promise<void> {
    const removal = this.#remove(session).finally(() => {
      this.#removals.delete(session);
      this.#ended.delete(session);
    });
    this.#removals.set(session, removal);
    return removal;
  }

  async #remove({ id, journal, sessionToken }: Session): Promise<void> {
    if (!journal) return;
    const isHandled = waitAtMost(HANDLING_TIMEOUT, journal.whenSettled(), () => {});
    await new Promise<void>((resolve) => {
      this.#handlings.add(resolve);
      isHandled.then(resolve, resolve).finally(() => this.#handlings.delete(resolve));
    });
    if (journal.hasStopped()) return; // another session has its id
    journal.stop();
    const remove = () => this.#node.engine.remove(id, journal.epoch, sessionToken.hash);
    // In turn, because a client of the Dart dialect may open another session with this id.
    await this.#node.untilAnswered(() => this.#calls.inTurn(id, remove)).catch(() => {});
  }

  /** Settles when no deletion is in progress. */
  async whenSettled(): Promise<void> {
    await Promise.all(this.#removals.values());
  }

  /** Deletes the sessions without waiting for the application any longer. */
  stopWaiting(): void {
    for (const stopWaiting of this.#handlings) stopWaiting();
  }
}
