/** Number of waiting tasks at which back-pressure begins. */
const HIGH_WATER_MARK = 64;

/** Runs functions in order, each in its own task of the event loop, so that all microtasks run in between. */
export class TaskQueue {
  readonly #tasks: (() => void)[] = [];
  #isScheduled = false;
  #drained: Promise<void> | undefined;
  #resolveDrained = () => {};

  /** Runs `task` after those before it, and never before `push` has returned. */
  push(task: () => void): void {
    this.#tasks.push(task);
    this.#schedule();
  }

  /** Returns a promise while many tasks wait. It resolves when no task waits any more. */
  backpressure(): Promise<void> | undefined {
    if (this.#tasks.length < HIGH_WATER_MARK) return undefined;
    return (this.#drained ??= new Promise((resolve) => (this.#resolveDrained = resolve)));
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    runInTask(() => {
      this.#isScheduled = false;
      const task = this.#tasks.shift();
      if (this.#tasks.length > 0) {
        this.#schedule(); // before the task, which may throw
      } else {
        this.#drained = undefined;
        this.#resolveDrained();
      }
      task?.();
    });
  }
}

/** Runs a function in a task. Unlike timers, these tasks are not delayed in a hidden page or when they are nested. */
function runInTask(callback: () => void): void {
  if (typeof setImmediate === 'function') {
    setImmediate(callback);
    return;
  }
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    callback();
  };
  port2.postMessage(0);
}
