/** Tasks that may wait before the queue asks for back-pressure. */
const HIGH_WATER_MARK = 64;

/** Runs functions in order, each in a task of the event loop of its own, so that all microtasks run in between. */
export class TaskQueue {
  readonly #tasks: (() => void)[] = [];
  #isScheduled = false;
  #relieved: Promise<void> | undefined;
  #relieve = () => {};

  /** Runs `task` after those before it, and never before `push` has returned. */
  push(task: () => void): void {
    this.#tasks.push(task);
    this.#schedule();
  }

  /** Returns a promise while many tasks wait. It resolves when they have run. */
  backpressure(): Promise<void> | undefined {
    if (this.#tasks.length < HIGH_WATER_MARK) return undefined;
    return (this.#relieved ??= new Promise((resolve) => (this.#relieve = resolve)));
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
        this.#relieved = undefined;
        this.#relieve();
      }
      task?.();
    });
  }
}

/** Unlike a timer, neither of the two waits longer in a hidden page, or after the fifth in a row. */
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
