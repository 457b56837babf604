import type { NewSession, StoredSession } from './cluster-engine';

/** Returns a session that has just been opened, as an engine stores it. */
export function createStoredSession(
  { position, firstNumber, ...session }: NewSession,
  epoch: number,
): StoredSession {
  const next = firstNumber === 'unknown' ? undefined : firstNumber;
  return {
    ...session,
    epoch,
    sequence: 0,
    checkpoint: { acknowledged: 0, position, rooms: [], logStart: 0 },
    log: [],
    received: 0,
    handled: 0,
    unhandled: [],
    state: '',
    close: undefined,
    closedByClient: undefined,
    lastNumbers: undefined,
    numbering: session.dialect === 'dart' ? { first: 0, next, waiting: {} } : undefined,
  };
}
