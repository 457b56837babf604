import type { StoredSession } from './cluster-engine';
import type { SessionInit } from './session-owner';

/** Returns a session that has just been opened, as the engine stores it. */
export function createStoredSession(
  { dialect, token, principal, subprotocol = '', firstNumber }: Omit<SessionInit, 'cluster'>,
  position: number,
  epoch: number,
): StoredSession {
  const next = firstNumber === 'unknown' ? undefined : firstNumber;
  return {
    dialect: dialect.name,
    tokenHash: token.hash,
    principal,
    subprotocol,
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
    numbering: dialect.name === 'dart' ? { first: 0, next, waiting: {} } : undefined,
  };
}
