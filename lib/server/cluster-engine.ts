import type { EncodedMessage } from '../protocol/message';

/**
 * The storage that the nodes of a cluster share: an interface, so that it can be implemented on different
 * databases. PROTOCOL.md, "Several nodes", describes the rules. Messages are opaque strings of one line.
 *
 * Each method rejects if the database does not answer; the outcome of the call is then unknown, and the caller
 * may repeat it. All methods that change a session are therefore idempotent.
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

/** Callbacks of an engine. Calls may be missing: a node then learns the same later, from its regular reads. */
export interface EngineListener {
  /** A broadcast was appended. */
  onBroadcast(broadcast: PositionedBroadcast): void;
  /** Another node sent a notification. */
  onNotification(notification: Notification): void;
}

/** The state of an engine. */
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

/** The part of a session that never changes. */
export interface SessionIdentity {
  /** The dialect of its client. */
  dialect: 'dart' | 'duplex';
  /** Hash of the session token. */
  tokenHash: string;
  /** What `authorize` returned for the client. */
  principal: string | undefined;
}

/** A session that is opened. */
export interface NewSession extends SessionIdentity {
  /** The subprotocol that the application has chosen, or ''. */
  subprotocol: string;
  /** Position of the last broadcast before the session was opened. */
  position: number;
  /**
   * Number of the first message of a client of the Dart dialect. If it is unknown, {@link ClusterEngine.startNumbering}
   * follows.
   */
  firstNumber: 0 | 'unknown';
}

/** The owner and the identity of a session. */
export interface SessionOwnership extends SessionIdentity {
  /** The node that owns the session, or '' if its owner has released it. */
  owner: string;
  /** Counts the owners of the session, from 1. */
  epoch: number;
}

/**
 * Where the log of a session begins: the client has acknowledged everything before. A new owner restores the rest
 * from the broadcasts after `position` and the entries of the log.
 */
export interface Checkpoint {
  /** Number of messages that the client has acknowledged. */
  acknowledged: number;
  /** Position of the last broadcast that the session has taken into account. */
  position: number;
  /** The rooms of the session. */
  rooms: string[];
  /** Index of the first entry that the log still has, counted from the beginning of the session. */
  logStart: number;
}

/** The close of a session by the server, as the engine stores it. */
export interface StoredClose extends SessionClose {
  /** Whether the session is closed, and not only closing: its client receives only the close event. */
  isClosed: boolean;
}

/** A close code and reason. */
export interface SessionClose {
  /** The close code. */
  code: number;
  /** The close reason. */
  reason: string;
}

/** What a new owner needs to continue a session. */
export interface StoredSession extends Omit<SessionOwnership, 'owner'> {
  /** Number of the last commit, counted over all owners from 1. 0 if nothing was committed. */
  sequence: number;
  /** Where the log begins. */
  checkpoint: Checkpoint;
  /** Entries of the log, oldest first. */
  log: string[];
  /** Number of messages that were received from the client. */
  received: number;
  /** Number of messages that the application has handled. */
  handled: number;
  /** The messages that were received and not handled, oldest first. */
  unhandled: string[];
  /** The subprotocol that the application has chosen, or ''. */
  subprotocol: string;
  /** `connection.state` as JSON, '' for none. */
  state: string;
  /** Present when the server is closing the session, or has closed it. */
  close: StoredClose | undefined;
  /** Present when the client has closed the session. */
  closedByClient: SessionClose | undefined;
  /** Present in a session of the Dart dialect. */
  numbering: Numbering | undefined;
  /**
   * Present after the engine has lost its data: for each node, the number of its last broadcast that the session had
   * received before. Nodes append their recent broadcasts again, and the session ignores those up to these numbers.
   */
  lastNumbers: Record<string, number> | undefined;
}

/** What the owner of a session has changed since its last commit. */
export interface SessionChanges {
  /** Number of this commit, counted over all owners. An older commit that arrives late has no effect. */
  sequence: number;
  /** Number of messages that were received from the client. */
  received: number;
  /** Number of messages that the application has handled. */
  handled: number;
  /** Number of the first of `messages`. */
  firstMessage: number;
  /** Received messages that the engine may not have yet and that are not handled. */
  messages: string[];
  /** Index of the first entry in `log`, counted as `logStart` of a checkpoint. */
  firstEntry: number;
  /** Entries that the engine may not have yet. */
  log: string[];
  /** Where the log begins. */
  checkpoint: Checkpoint;
  /** Present if it was changed. */
  state?: string;
  /** Present if it was changed. */
  close?: StoredClose | undefined;
}

/** The result of a commit. */
export interface CommitResult {
  /**
   * Number of messages of the client that all nodes together have received. -1 if the commit had no effect because the
   * engine has lost an earlier one: the owner must then {@link ClusterEngine.restore} the session.
   */
  received: number;
}

/** If the messages that the engine keeps until they are handled have reached one of these limits, the result is `full`. */
export interface UnhandledLimits {
  /** No more messages are recorded while the engine keeps this many of the session. */
  maxUnhandled: number;
  /** The same for their bytes. Dart dialect: also the largest number of bytes of the messages that wait. */
  maxBytes: number;
}

/** The content of a POST, and the identity that its client has presented. */
export interface TakenBatch
  extends SessionIdentity, UnhandledLimits, Omit<RecordedMessages, 'sequence' | 'numbering'> {}

/** The message of a POST of the Dart dialect, and the principal of the request, which has no token. */
export interface TakenMessage extends Pick<SessionIdentity, 'principal'>, UnhandledLimits {
  /** The number that the client gave the message. One without a number is recorded in the order of arrival. */
  number: number | undefined;
  /** The message, encoded; '' for one that was rejected, and whose number is consumed. */
  message: string;
  /** Largest distance between the next number and that of a message that waits. */
  reorderWindow: number;
}

/** Dart dialect: how far the engine has recorded the client's messages. */
export interface Numbering {
  /** The lowest number that is accepted. */
  first: number;
  /** The number of the next message, or undefined until the first number is known. */
  next: number | undefined;
  /** The messages that wait for one before them, by number. */
  waiting: Record<string, string>;
}

/** A {@link Numbering} as it is read. */
export interface ReadNumbering extends Omit<Numbering, 'waiting'> {
  /** Number of messages that wait. */
  waitingCount: number;
  /** The messages that wait, unless they are too long. */
  waiting: Numbering['waiting'] | undefined;
}

/**
 * The result of {@link ClusterEngine.take}. `received` counts the messages that all nodes have received of the client;
 * in the Dart dialect it is the number of the next message. `outcome` is one of:
 * - `taken`: all messages are recorded;
 * - `out-of-window`: messages before the first one are missing; in the Dart dialect, more than may wait for them;
 * - `full`: the application has not handled enough of the messages that are recorded;
 * - `closed`: the session is closed;
 * - `unknown-session`: there is no session with this id and this identity.
 */
export type TakeResult =
  | Received<'taken'>
  | Received<'out-of-window'>
  | Outcome<'full'>
  | ClosedOutcome
  | Outcome<'unknown-session'>;

/** What a POST contains, or what the engine has recorded. */
export interface RecordedMessages {
  /** Number of the first message. */
  first: number;
  /** The messages, oldest first. */
  messages: string[];
  /** Number of messages that the client has acknowledged. */
  acknowledged: number;
  /** Present when the client has closed the session after these messages. */
  close: SessionClose | undefined;
  /** Present in what is read: number of the last commit. */
  sequence?: number;
  /** Present in what is read of a session of the Dart dialect. */
  numbering?: ReadNumbering | undefined;
}

/**
 * A message for sessions of all nodes, or the order to close them. It is for the sessions that match all conditions
 * that are present.
 */
export interface Broadcast {
  /** The message, encoded. */
  message?: EncodedMessage;
  /** Present instead of a message if the sessions are to be closed. */
  close?: SessionClose;
  /** Only for the members of this room. */
  room?: string;
  /** Only for the session with this id. */
  session?: string;
  /** Not for the session with this id. */
  except?: string;
}

/** The end of the log of broadcasts, from a position on. */
export interface BroadcastRange {
  /** As in {@link EngineState}. */
  generation: string;
  /** Position of the oldest broadcast that the engine still has, or of the next one if it has none. */
  oldest: number;
  /** The broadcasts, oldest first. */
  broadcasts: PositionedBroadcast[];
}

/** A broadcast in the log of all nodes. */
export interface PositionedBroadcast extends Broadcast {
  /** Number of the broadcast, counted over all nodes. */
  position: number;
  /** The node that sent it. */
  sender: string;
  /** Number of the broadcast, counted by that node from 1. */
  number: number;
}

/**
 * A notification of one node to another about a session:
 * - `taken`: these messages were recorded for it;
 * - `recorded`: messages were recorded for it, which the owner is to read;
 * - `release`: another node is about to claim it;
 * - `released`: its owner has released it for that node;
 * - `kept`: its owner keeps it, because it has a stream, or has ended and is about to be deleted.
 */
export type Notification =
  | (About<'taken'> & RecordedMessages)
  | About<'recorded'>
  | ReleaseRequest
  | About<'released'>
  | About<'kept'>;

/** A notification of this type about the session with this id. */
interface About<Type> {
  type: Type;
  id: string;
}

interface Outcome<Name> {
  outcome: Name;
}

interface Received<Name> extends Outcome<Name> {
  received: number;
}

interface ClosedOutcome extends Received<'closed'> {
  close: StoredClose;
}

interface ReleaseRequest extends About<'release'> {
  /** The node that is about to claim the session. */
  claimant: string;
  /** The owner is to release it only if it has no stream. */
  isOptional: boolean;
}
