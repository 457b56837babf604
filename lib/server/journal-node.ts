import type { ClusterEngine, CommitResult, SessionChanges, StoredSession } from './cluster-engine';
import type { SessionLog } from './session-log';

/** What a journal needs of its node. */
export interface JournalNode extends Pick<ClusterEngine, 'read' | 'startNumbering'> {
  /** Position of the last broadcast that this node has processed. */
  readonly position: number;
  /** For each node, the number of its last broadcast that was processed here. A copy. */
  readonly lastNumbers: Record<string, number>;
  /** Whether all broadcasts that this node has sent so far are delivered to its sessions. */
  readonly hasDeliveredOwnBroadcasts: boolean;
  /** Calls back when all broadcasts that this node has sent so far are delivered. */
  afterOwnBroadcasts(callback: () => void): void;
  /**
   * Repeats a commit until the engine answers it.
   *
   * @param isWanted returns whether to send it (again): not after the session was deleted, because another session may
   * have its id and epoch.
   * @returns undefined if this node is not the owner any more; `'restored'` if the engine had lost the session, which
   * was then restored without these changes.
   */
  commit(
    id: string,
    epoch: number,
    changes: SessionChanges,
    isWanted: () => boolean,
  ): Promise<CommitResult | 'restored' | undefined>;
}

/** The state of a session when a node becomes its owner. */
export interface JournalStart extends Pick<
  StoredSession,
  | 'epoch'
  | 'sequence'
  | 'received'
  | 'handled'
  | 'unhandled'
  | 'state'
  | 'lastNumbers'
  | 'numbering'
> {
  log: SessionLog;
  /** Whether the previous owner may have delivered messages of a POST that it neither recorded nor answered. */
  isInterrupted: boolean;
}
