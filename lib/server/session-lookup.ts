import type { SessionOwnership } from './cluster-engine';
import type { ClusterNode } from './cluster-node';
import { SseRequestError, engineUnavailable } from './request-error';
import { SessionToken } from './session-token';
import { waitAtMost } from './wait';

/** Longest time in milliseconds that a request waits for the connection to the engine. */
const START_TIMEOUT = 2_000;
/** Time in milliseconds in which nodes restore their sessions in an engine that has lost its data. */
const RECOVERY_TIMEOUT = 5_000;

/** What a client presents to prove that a session is its own. */
export interface SessionProof {
  token: string;
  principal: string | undefined;
  dialect: 'dart' | 'duplex';
}

/** Finds out in the engine whether a session belongs to a client. */
export class SessionLookup {
  readonly #node: ClusterNode;

  constructor(node: ClusterNode) {
    this.#node = node;
  }

  /** @throws SseRequestError if the node is not connected to the engine in time. */
  async whenReady(): Promise<void> {
    await askEngine(() =>
      waitAtMost(START_TIMEOUT, this.#node.ready, () => {
        throw engineUnavailable();
      }),
    );
  }

  /** @throws SseRequestError if the engine may have lost the session. */
  async findOwn(
    id: string,
    { token, principal, dialect }: SessionProof,
  ): Promise<(SessionOwnership & { token: SessionToken }) | undefined> {
    const found = await this.#node.engine.find(id);
    if (!found) return this.rejectDuringRecovery();
    const own = SessionToken.fromHash(found.tokenHash);
    const isOwn = found.principal === principal && found.dialect === dialect && own.matches(token);
    return isOwn ? { ...found, token: own } : undefined;
  }

  /** @throws SseRequestError if the engine is so new that nodes may not have restored their sessions yet. */
  async rejectDuringRecovery(): Promise<undefined> {
    if ((await this.#node.checkEngineAge()) < RECOVERY_TIMEOUT) throw engineUnavailable();
  }
}

/** @throws SseRequestError if the engine does not answer. */
export async function askEngine<Result>(call: () => Promise<Result>): Promise<Result> {
  try {
    return await call();
  } catch (error) {
    throw error instanceof SseRequestError ? error : engineUnavailable(error);
  }
}
