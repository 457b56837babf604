/** What the nodes of a cluster give to `ClusterEngine` and receive from it. */
import type { EncodedMessage } from '../protocol/message';

/**
 * The part of a session that never changes.
 *
 * @group Cluster engine
 */
export interface SessionIdentity {
  /** The dialect of its client. */
  dialect: 'dart' | 'duplex';
  /** Hash of the session token. */
  tokenHash: string;
  /** What `authorize` returned for the client. */
  principal: string | undefined;
}

/**
 * A session that is opened.
 *
 * @group Cluster engine
 */
export interface NewSession extends SessionIdentity {
  /** The subprotocol that the application has chosen, or ''. */
  subprotocol: string;
  /** Position of the last broadcast before the session was opened. */
  position: number;
  /**
   * Number of the first message of a client of the Dart dialect. If it is unknown, `ClusterEngine.startNumbering`
   * follows.
   */
  firstNumber: 0 | 'unknown';
}

/**
 * The owner and the identity of a session.
 *
 * @group Cluster engine
 */
export interface SessionOwnership extends SessionIdentity {
  /** The node that owns the session, or '' if its owner has released it. */
  owner: string;
  /** Counts the owners of the session, from 1. */
  epoch: number;
}

/**
 * Where the log of a session begins: the client has acknowledged everything before. A new owner restores the rest
 * from the broadcasts after `position` and the entries of the log.
 *
 * @group Cluster engine
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

/**
 * The close of a session by the server, as the engine stores it.
 *
 * @group Cluster engine
 */
export interface StoredClose extends SessionClose {
  /** Whether the session is closed, and not only closing: its client receives only the close event. */
  isClosed: boolean;
}

/**
 * A close code and reason.
 *
 * @group Cluster engine
 */
export interface SessionClose {
  /** The close code. */
  code: number;
  /** The close reason. */
  reason: string;
}

/**
 * What a new owner needs to continue a session.
 *
 * @group Cluster engine
 */
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

/**
 * What the owner of a session has changed since its last commit.
 *
 * @group Cluster engine
 */
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

/**
 * The result of a commit.
 *
 * @group Cluster engine
 */
export interface CommitResult {
  /**
   * Number of messages of the client that all nodes together have received. -1 if the commit had no effect because the
   * engine has lost an earlier one: the owner must then `ClusterEngine.restore` the session.
   */
  received: number;
}

/**
 * If the messages that the engine keeps until they are handled have reached one of these limits, the result is `full`.
 *
 * @group Cluster engine
 */
export interface UnhandledLimits {
  /** No more messages are recorded while the engine keeps this many of the session. */
  maxUnhandled: number;
  /** The same for their bytes. Dart dialect: also the largest number of bytes of the messages that wait. */
  maxBytes: number;
}

/**
 * The content of a POST, and the identity that its client has presented.
 *
 * @group Cluster engine
 */
export interface TakenBatch
  extends SessionIdentity, UnhandledLimits, Omit<RecordedMessages, 'sequence' | 'numbering'> {}

/**
 * The message of a POST of the Dart dialect, and the principal of the request, which has no token.
 *
 * @group Cluster engine
 */
export interface TakenMessage extends Pick<SessionIdentity, 'principal'>, UnhandledLimits {
  /** The number that the client gave the message. One without a number is recorded in the order of arrival. */
  number: number | undefined;
  /** The message, encoded; '' for one that was rejected, and whose number is consumed. */
  message: string;
  /** Largest distance between the next number and that of a message that waits. */
  reorderWindow: number;
}

/**
 * Dart dialect: how far the engine has recorded the client's messages.
 *
 * @group Cluster engine
 */
export interface Numbering {
  /** The lowest number that is accepted. */
  first: number;
  /** The number of the next message, or undefined until the first number is known. */
  next: number | undefined;
  /** The messages that wait for one before them, by number. */
  waiting: Record<string, string>;
}

/**
 * A {@link Numbering} as it is read.
 *
 * @group Cluster engine
 */
export interface ReadNumbering extends Omit<Numbering, 'waiting'> {
  /** Number of messages that wait. */
  waitingCount: number;
  /** The messages that wait, unless they are too long. */
  waiting: Numbering['waiting'] | undefined;
}

/**
 * The result of `ClusterEngine.take`. `received` counts the messages that all nodes have received of the client;
 * in the Dart dialect it is the number of the next message. `outcome` is one of:
 * - `taken`: all messages are recorded;
 * - `out-of-window`: messages before the first one are missing; in the Dart dialect, more than may wait for them;
 * - `full`: the application has not handled enough of the messages that are recorded;
 * - `closed`: the session is closed;
 * - `unknown-session`: there is no session with this id and this identity.
 *
 * @group Cluster engine
 */
export type TakeResult =
  | Received<'taken'>
  | Received<'out-of-window'>
  | Outcome<'full'>
  | ClosedOutcome
  | Outcome<'unknown-session'>;

/**
 * What a POST contains, or what the engine has recorded.
 *
 * @group Cluster engine
 */
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
 *
 * @group Cluster engine
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

/**
 * The end of the log of broadcasts, from a position on.
 *
 * @group Cluster engine
 */
export interface BroadcastRange {
  /** As in {@link EngineState}. */
  generation: string;
  /** Position of the oldest broadcast that the engine still has, or of the next one if it has none. */
  oldest: number;
  /** The broadcasts, oldest first. */
  broadcasts: PositionedBroadcast[];
}

/**
 * A broadcast in the log of all nodes.
 *
 * @group Cluster engine
 */
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
 *
 * @group Cluster engine
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
