import type { PositionedBroadcast, RecordedMessages } from './cluster-engine';

/** What a node needs of the sessions that it owns. */
export interface NodeSessions {
  /** Sends a broadcast to the sessions that it is for. */
  deliverBroadcast(broadcast: PositionedBroadcast): void;
  /** The engine has lost broadcasts before this node has read them: closes the sessions that may have been sent them. */
  onBroadcastsLost(): void;
  /** Another node has recorded messages for a session of this node. */
  onTaken(id: string, recorded: RecordedMessages): void;
  /** The engine has messages for a session, which are to be read. */
  onRecorded(id: string): void;
  /**
   * Another node is about to claim a session of this node.
   *
   * @param isOptional whether it claims the session only if that has no stream.
   */
  onReleaseRequested(id: string, claimant: string, isOptional: boolean): void;
  /** The owner has answered `ClusterNode.requestRelease`: it has released the session, or keeps it. */
  onReleaseAnswered(id: string, answer: 'released' | 'kept'): void;
  /** Writes all sessions to the engine, which has lost its data. Rejects if that fails. */
  restoreAll(): Promise<void>;
  /** Writes a session to the engine, which has lost commits of it. Rejects if that fails. Returns false if it is gone. */
  restore(id: string, epoch: number): Promise<boolean>;
  /** Takes over the sessions of a node whose lease has expired. */
  adoptFrom(nodeId: string): Promise<void>;
  /** Takes over sessions that this node may own since a call to the engine has failed. Rejects if that fails. */
  adoptUncertain(): Promise<void>;
  /** A call to the engine has failed, after the previous one has succeeded. */
  onEngineFailed(error: unknown): void;
  /** The engine answers again. */
  onEngineAnswered(): void;
  /** The engine has not answered for so long that other nodes may own the sessions by now. */
  onEngineSilent(): void;
}
