import type {
  Broadcast,
  BroadcastRange,
  CommitResult,
  NewSession,
  Notification,
  PositionedBroadcast,
  RecordedMessages,
  SessionChanges,
  SessionOwnership,
  StoredSession,
  TakeResult,
  TakenBatch,
  TakenMessage,
} from './engine-data';

export type * from './engine-data';

/**
 * The storage that the nodes of a cluster share: an interface, so that it can be implemented on different
 * databases. PROTOCOL.md, "Several nodes", describes the rules. Messages are opaque strings of one line.
 *
 * Each method rejects if the database does not answer; the outcome of the call is then unknown, and the caller
 * may repeat it. All methods that change a session are therefore idempotent.
 *
 * @group Cluster engine
 */
export interface ClusterEngine {
  /**
   * Connects a node to the engine.
   *
   * @param listener receives the broadcasts of all nodes and the notifications for this node, until {@link stop}.
   */
  start(nodeId: string, listener: EngineListener): Promise<void>;
  /** Closes what {@link start} opened. The lease of the node expires later, so that others adopt what it has released. */
  stop(): Promise<void>;
  /**
   * Extends the lease of this node, and returns the state of the engine. Called about once per second.
   *
   * @param position of the last broadcast that this node knows. If the engine is new, or if its position is lower, it
   * begins a new generation at a position that is higher than all earlier ones, for example the time in milliseconds.
   */
  beat(position: number): Promise<EngineState>;

  /** Creates a session that this node owns. Returns false if a session with this id exists. */
  open(id: string, session: NewSession): Promise<boolean>;
  /**
   * Dart dialect: replaces a session of this node by a new one with the same id and the next epoch. The messages that
   * the engine has recorded, and that this node has not received, become the first ones of the new session. Messages
   * that wait for earlier ones continue to wait.
   *
   * @param epoch of the session that is replaced.
   * @param received number of messages that this node has received in the session that is replaced.
   * @returns false if this node does not own the session in this epoch.
   */
  replace(id: string, epoch: number, received: number, session: NewSession): Promise<boolean>;
  /** Returns the owner and the identity of a session, or undefined if there is no such session. */
  find(id: string): Promise<SessionOwnership | undefined>;
  /**
   * Makes this node the owner of a session, with an epoch that is one higher than before.
   *
   * @param found what {@link find} returned.
   * @returns undefined if the session has ended, or has been claimed since then.
   */
  claim(id: string, found: SessionOwnership): Promise<StoredSession | undefined>;
  /** Writes a session of this node that the engine does not have, or has in an older state. */
  restore(id: string, session: StoredSession): Promise<void>;
  /** Applies the changes of the owner. Returns undefined if this node does not own the session in this epoch. */
  commit(id: string, epoch: number, changes: SessionChanges): Promise<CommitResult | undefined>;
  /** Records a POST that has reached another node than the owner, or that closes the session. Notifies the owner. */
  take(id: string, batch: TakenBatch): Promise<TakeResult>;
  /**
   * Dart dialect: records the message of a POST at any node, and notifies the owner. A message whose number is not next
   * waits in the engine for those before it.
   */
  takeMessage(id: string, message: TakenMessage): Promise<TakeResult>;
  /**
   * Dart dialect: makes the lowest number that waits the first one. Has no effect if the first number is known, or if
   * this node does not own the session in this epoch.
   */
  startNumbering(id: string, epoch: number): Promise<void>;
  /**
   * Returns the recorded messages from number `first` on; undefined if this node does not own the session in this epoch.
   *
   * @param maxWaiting Dart dialect: largest number of bytes of the messages that wait for earlier ones. If there are
   * more, only their number is returned, because the owner reads each time that a message arrives.
   */
  read(
    id: string,
    epoch: number,
    first: number,
    maxWaiting: number,
  ): Promise<RecordedMessages | undefined>;
  /**
   * Gives up the ownership, so that another node can claim the session at once.
   *
   * @param successor the node that is about to claim it, and owns it until then. Without a successor it has no owner, but
   * remains one of {@link sessionsOf} this node, so that another node adopts it if its client does not return.
   */
  release(id: string, epoch: number, successor: string | undefined): Promise<void>;
  /**
   * Deletes a session that has ended. Has no effect if this node does not own the session in this epoch, or if a
   * session with another token has the id by now.
   */
  remove(id: string, epoch: number, tokenHash: string): Promise<void>;
  /** Returns the ids of the sessions of a node. May include sessions that have another owner, or have ended. */
  sessionsOf(nodeId: string): Promise<string[]>;
  /** Removes a node whose lease has expired and which owns no session any more. */
  forget(nodeId: string): Promise<void>;

  /**
   * Appends broadcasts to the log of all nodes, and publishes them. Those that were appended before are not appended
   * again.
   *
   * @param generation that the node knows. Rejects if the engine has another one.
   * @param first number of the first of them. Each node numbers its broadcasts from 1.
   */
  broadcast(generation: string, first: number, broadcasts: Broadcast[]): Promise<void>;
  /** Returns the broadcasts after a position that the engine still has. */
  readBroadcasts(after: number): Promise<BroadcastRange>;
  /** Sends a notification to a node. Returns false if the node certainly does not receive it. */
  notify(nodeId: string, notification: Notification): Promise<boolean>;
}

/**
 * Callbacks of an engine. Calls may be missing: a node then learns the same later, from its regular reads.
 *
 * @group Cluster engine
 */
export interface EngineListener {
  /** A broadcast was appended. */
  onBroadcast(broadcast: PositionedBroadcast): void;
  /** Another node sent a notification. */
  onNotification(notification: Notification): void;
}

/**
 * The state of an engine.
 *
 * @group Cluster engine
 */
export interface EngineState {
  /** Id of the generation. It changes when the engine has lost its data. */
  generation: string;
  /** Position of the last broadcast. */
  position: number;
  /** Position at which this generation began: its broadcasts have higher positions. */
  base: number;
  /** Milliseconds since the engine was created, or lost its data. */
  age: number;
  /** For each node, the number of its last broadcast up to this position. */
  lastNumbers: Record<string, number>;
  /** The nodes whose lease has expired. */
  deadNodes: string[];
}
