import { TaskQueue } from '../../lib/websocket/task-queue';
import { onTestFinished } from '../helpers/on-test-finished';
import { waitFor } from '../helpers/wait-for';

describe.each(['setImmediate', 'MessageChannel'])('TaskQueue with %s', (kind) => {
  beforeEach(() => {
    if (kind === 'setImmediate') return;
    const { setImmediate } = globalThis;
    Object.assign(globalThis, { setImmediate: undefined });
    onTestFinished(() => Object.assign(globalThis, { setImmediate }));
  });

  it('runs tasks in order, with all microtasks of one before the next', async () => {
    const queue = new TaskQueue();
    const log: string[] = [];
    for (const name of ['a', 'b']) {
      queue.push(() => {
        log.push(name);
        void Promise.resolve()
          .then(() => log.push(`${name} 1`))
          .then(() => log.push(`${name} 2`));
      });
    }
    expect(log).toEqual([]);
    await waitFor(() => log.length === 6);
    expect(log).toEqual(['a', 'a 1', 'a 2', 'b', 'b 1', 'b 2']);
  });

  it('applies back-pressure from 64 waiting tasks on, until none waits', async () => {
    const queue = new TaskQueue();
    let ran = 0;
    for (let i = 0; i < 63; i++) queue.push(() => ran++);
    expect(queue.backpressure()).toBeUndefined();
    queue.push(() => ran++);
    const drained = queue.backpressure();
    expect(queue.backpressure()).toBe(drained);
    await drained;
    expect(ran).toBeGreaterThanOrEqual(63);
    expect(queue.backpressure()).toBeUndefined();
  });
});

describe('TaskQueue', () => {
  it('runs the tasks after one that throws', async () => {
    const { setImmediate } = globalThis;
    const errors: unknown[] = [];
    Object.assign(globalThis, {
      setImmediate: (callback: () => void) =>
        setImmediate(() => {
          try {
            callback();
          } catch (error) {
            errors.push(error);
          }
        }),
    });
    onTestFinished(() => Object.assign(globalThis, { setImmediate }));
    const queue = new TaskQueue();
    const error = new Error('of the application');
    let hasRun = false;
    queue.push(() => {
      throw error;
    });
    queue.push(() => (hasRun = true));
    await waitFor(() => hasRun);
    expect(errors).toEqual([error]);
  });
});
