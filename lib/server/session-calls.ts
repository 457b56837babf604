/** The calls to the engine that must not overlap: those that open, claim, adopt or delete the same session at this node. */
export class SessionCalls {
  /** The last call for each session that is in progress. */
  readonly #calls = new Map<string, Promise<unknown>>();

  has(id: string): boolean {
    return this.#calls.has(id);
  }

  /** Calls `call` when other calls for this session are settled. */
  async inTurn<Result>(id: string, call: () => Promise<Result>): Promise<Result> {
    for (let previous; (previous = this.#calls.get(id));) await previous;
    const calling = call();
    const settled = calling.catch(() => {});
    this.#calls.set(id, settled);
    try {
      return await calling;
    } finally {
      this.#calls.delete(id);
    }
  }

  /** Settles when no call is in progress. */
  async whenSettled(): Promise<void> {
    await Promise.all(this.#calls.values());
  }
}
