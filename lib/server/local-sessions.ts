import type { PositionedBroadcast } from './cluster-engine';
import type { ResolvedOptions } from './options';
import type { Session } from './session';
import type { SessionInit } from './session-owner';

/** What a cluster needs of the sessions that this node owns. */
export interface LocalSessions extends Iterable<Session> {
  /** Path of the middleware, for diagnostics. */
  readonly path: string;
  readonly options: ResolvedOptions;
  find(id: string): Session | undefined;
  /** Adds a session. */
  add(init: SessionInit): Session;
  /** Sends a broadcast to the sessions that it is for. */
  deliverBroadcast(broadcast: PositionedBroadcast): void;
  /** Emits `connection` for a session that this node has taken over. */
  onRecovered(session: Session): void;
}
