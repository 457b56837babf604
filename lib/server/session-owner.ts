import type { IncomingMessage } from 'node:http';
import type { Dialect } from './dialect';
import type { Heartbeat } from './heartbeat';
import type { JournalNode, JournalStart } from './journal';
import type { ResolvedOptions } from './options';
import type { Rooms } from './rooms';
import type { Session } from './session';
import type { SessionToken } from './session-token';
import type { SseConnection } from './sse-connection';

/** The owner of all sessions of a middleware. */
export interface SessionOwner {
  /** Path of the middleware, for diagnostics. */
  readonly path: string;
  readonly options: ResolvedOptions;
  readonly heartbeat: Heartbeat;
  readonly rooms: Rooms<SseConnection>;
  /** Nothing is sent or received any more. */
  onSessionClosed(session: Session): void;
  /** The session cannot be resumed any more: the client is done with it. */
  onSessionReleased(session: Session): void;
  /** The client and the application are done with the session. */
  onSessionEnded(session: Session): void;
}

/** How a session begins. */
export interface SessionInit {
  id: string;
  token: SessionToken;
  dialect: Dialect;
  principal: string | undefined;
  /** The GET that opened the session, or with which this node continues it. */
  request: IncomingMessage;
  /** Number of the client's first message: see `ReorderBuffer`. */
  firstNumber: 0 | 'unknown';
  /** What the application has chosen from the subprotocols that the client offered. @default '' */
  subprotocol?: string | undefined;
  /** In a cluster: this node, and what the engine knows of the session. */
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
