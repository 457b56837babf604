import type { ClusterNode } from './cluster-node';
import { waitAtMost } from './wait';

/** Time in milliseconds that the owner of a session has to release it for another node. */
export const HANDOVER_TIMEOUT = 500;

/** What has become of the owner of a session that was asked to release it. */
export type Release = 'released' | 'kept' | 'gone' | 'unanswered';

/** Asks the owners of sessions to release them for this node. */
export class ReleaseRequests {
  readonly #node: ClusterNode;
  /** Callbacks of the requests that wait for an answer, by session id. */
  readonly #waiting = new Map<string, (answer: Release) => void>();

  constructor(node: ClusterNode) {
    this.#node = node;
  }

  /**
   * Gives the owner of a session time to finish what it is doing, unless it certainly does not exist any more.
   *
   * @param isOptional whether the owner keeps a session that has a stream.
   */
  async request(owner: string, id: string, isOptional: boolean): Promise<Release> {
    // The owner has released it for this node, or an earlier attempt of this node has claimed it and then failed.
    if (owner === '' || owner === this.#node.id) return 'released';
    const answer = new Promise<Release>((resolve) => this.#waiting.set(id, resolve));
    try {
      const isAlive = await this.#node.requestRelease(owner, id, isOptional);
      return isAlive ? await waitAtMost(HANDOVER_TIMEOUT, answer, () => 'unanswered') : 'gone';
    } finally {
      this.#waiting.delete(id);
    }
  }

  onAnswered(id: string, answer: 'released' | 'kept'): void {
    this.#waiting.get(id)?.(answer);
  }
}
