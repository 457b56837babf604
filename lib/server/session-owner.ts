import type { Heartbeat } from './heartbeat';
import type { ResolvedOptions } from './options';
import type { Rooms } from './rooms';
import type { Session } from './session';
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
