import { EventEmitter } from 'node:events';
import { emit } from '../../lib/server/emit';
import { turn } from '../helpers/fake-timeouts';
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
