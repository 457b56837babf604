import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';
import { EventEmitter } from 'node:events';
import { emit, emitAndWait } from '../../lib/server/emit';
import { turn } from '../helpers/fake-timeouts';
import { startProcess } from '../helpers/processes';
import { catchUncaught } from '../helpers/uncaught';

describe('emit', () => {
  it('calls the listeners before it returns', () => {
    const emitter = new EventEmitter();
    const listener = jest.fn();
    emitter.on('message', listener);
    emit(emitter, 'message', 1, 2);
    expect(listener).toHaveBeenCalledWith(1, 2);
  });

  it('rethrows the exception of a listener on the next tick', async () => {
    const thrown = catchUncaught();
    const emitter = new EventEmitter();
    const error = new Error('from the application');
    emitter.on('message', () => {
      throw error;
    });
    emit(emitter, 'message');
    expect(thrown).toEqual([]);
    await turn();
    expect(thrown).toEqual([error]);
  });
});

describe('emitAndWait', () => {
  it('returns undefined if no listener returns a promise', () => {
    const emitter = new EventEmitter();
    const listener = jest.fn(() => 5);
    emitter.on('message', listener);
    emitter.once('message', listener);
    const context = new AsyncResource('test');
    expect(emitAndWait(context, emitter, 'message', 1, 2)).toBeUndefined();
    expect(listener.mock.calls).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect(emitAndWait(context, emitter, 'message')).toBeUndefined();
    expect(listener).toHaveBeenCalledTimes(3);
  });

  it('waits for all promises, and calls the listeners in the context', async () => {
    const storage = new AsyncLocalStorage<string>();
    const context = storage.run('context', () => new AsyncResource('test'));
    const emitter = new EventEmitter();
    const seen: unknown[] = [];
    const see = async (delay: number) => {
      await new Promise((resolve) => setTimeout(resolve, delay));
      seen.push([delay, storage.getStore()]);
    };
    emitter.on('message', (): unknown => see(20));
    emitter.on('message', (): unknown => see(5));
    await emitAndWait(context, emitter, 'message');
    expect(seen).toEqual([
      [5, 'context'],
      [20, 'context'],
    ]);
  });

  it('leaves a rejection unhandled, as EventEmitter does', async () => {
    const { process: child, ready } = await startProcess(
      '__tests__/delivery/processes/rejection.ts',
    );
    child.kill();
    expect(ready).toBe('from the application');
  });

  it('rethrows the exception of a listener on the next tick', async () => {
    const thrown = catchUncaught();
    const emitter = new EventEmitter();
    const error = new Error('from the application');
    emitter.on('message', () => {
      throw error;
    });
    expect(emitAndWait(new AsyncResource('test'), emitter, 'message')).toBeUndefined();
    await turn();
    expect(thrown).toEqual([error]);
  });
});
