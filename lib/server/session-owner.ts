import type { IncomingMessage } from 'node:http';
import type { Dialect } from './dialect';
import type { Heartbeat } from './heartbeat';
import type { JournalNode, JournalStart } from './journal-node';
import type { ResolvedOptions } from './options';
import type { Rooms } from './rooms';
import type { Session } from './session';
import type { SessionToken } from './session-token';
import type { SseConnection } from './sse-connection';

/** What a session needs of the registry of its middleware. */
export interface SessionOwner {
  /** Path of the middleware, for diagnostics. */
  readonly path: string;
  readonly options: ResolvedOptions;
  readonly heartbeat: Heartbeat;
  readonly rooms: Rooms<SseConnection>;
  /** The session is closed: it sends and receives no more messages. */
  onSessionClosed(session: Session): void;
  /** The client cannot resume the session here any more: it has ended, or another node owns it. */
  onSessionReleased(session: Session): void;
  /** The session is released, and `close` was emitted. */
  onSessionEnded(session: Session): void;
}

/** What a session is created with. */
export interface SessionInit {
  id: string;
  token: SessionToken;
  dialect: Dialect;
  principal: string | undefined;
  /** The GET that opened the session, or with which this node continues it. */
  request: IncomingMessage;
  /** Number of the client's first message: see `ReorderBuffer`. */
  firstNumber: 0 | 'unknown';
  /** The subprotocol that the application has chosen from those that the client offered. @default '' */
  subprotocol?: string | undefined;
  /** In a cluster: this node, and the state of the session in the engine. */
  cluster?: ClusterInit | undefined;
}

/** How a session begins at a node of a cluster. */
export interface ClusterInit {
  node: JournalNode;
  start: JournalStart;
  /** Whether the client has had a stream at another node. */
  isResumed: boolean;
  /** Whether another node has done something for the session. */
  isRecovered: boolean;
}
