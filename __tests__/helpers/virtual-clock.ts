interface Timer {
  at: number;
  /** Milliseconds of an interval, or 0 for a timeout. */
  every: number;
  run: () => void;
  unref(): Timer;
}

const globals = ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] as const;

/** Waits for four turns of the event loop, so that everything that does not need time can happen. */
async function settle(): Promise<void> {
  for (let turns = 0; turns < 4; turns++) await new Promise((resolve) => setImmediate(resolve));
}

/**
 * A clock that only `advance` moves. `install` replaces the global timers, `performance.now` and
 * `AbortSignal.timeout`, but not the timers inside Node. It works outside of Jest, for the soaks.
 */
export class VirtualClock {
  now = 0;
  readonly #timers = new Set<Timer>();
  readonly #installed: (() => void)[] = [];

  install(): void {
    const own = {
      setTimeout: (run: () => void, milliseconds: number) => this.#start(run, milliseconds, 0),
      setInterval: (run: () => void, milliseconds: number) =>
        this.#start(run, milliseconds, milliseconds),
      clearTimeout: (timer: Timer) => this.#timers.delete(timer),
      clearInterval: (timer: Timer) => this.#timers.delete(timer),
    };
    for (const name of globals) this.#replace(globalThis, name, own[name]);
    this.#replace(performance, 'now', () => this.now);
    this.#replace(AbortSignal, 'timeout', (milliseconds: number) => {
      const controller = new AbortController();
      this.#start(() => controller.abort(), milliseconds, 0);
      return controller.signal;
    });
  }

  /** Number of active timers. */
  get timers(): number {
    return this.#timers.size;
  }

  uninstall(): void {
    for (const restore of this.#installed.splice(0)) restore();
  }

  /** Moves the clock. Everything that a timer causes happens before the next timer fires. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.now + milliseconds;
    await settle();
    for (let timer; (timer = this.#next()) && timer.at <= end;) {
      this.now = timer.at;
      if (timer.every > 0) timer.at += timer.every;
      else this.#timers.delete(timer);
      timer.run();
      await settle();
    }
    this.now = end;
  }

  #next(): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) if (!next || timer.at < next.at) next = timer;
    return next;
  }

  #start(run: () => void, milliseconds: number, every: number): Timer {
    const timer = { at: this.now + milliseconds, every, run, unref: () => timer };
    this.#timers.add(timer);
    return timer;
  }

  #replace<T extends object>(owner: T, name: keyof T, own: unknown): void {
    const descriptor = Object.getOwnPropertyDescriptor(owner, name);
    Object.defineProperty(owner, name, { value: own, configurable: true, writable: true });
    this.#installed.push(() => {
      if (descriptor) Object.defineProperty(owner, name, descriptor);
      else Reflect.deleteProperty(owner, name);
    });
  }
}
