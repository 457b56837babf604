import type { AsyncResource } from 'node:async_hooks';
import type { EventEmitter } from 'node:events';

/**
 * Emits an event to the application. An exception of a listener becomes an uncaught exception, as with
 * every EventEmitter, but on the next tick, so that it interrupts neither this session nor others.
 */
export function emit(emitter: EventEmitter, event: string, ...values: unknown[]): void {
  try {
    emitter.emit(event, ...values);
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

/**
 * Emits an event as {@link emit} does, and waits for listeners that return promises. A rejection stays unhandled, as
 * with every EventEmitter.
 *
 * @param context of the listeners.
 * @returns undefined if no listener returned a promise; else a promise that resolves when all of them are settled.
 */
export function emitAndWait(
  context: AsyncResource,
  emitter: EventEmitter,
  event: string,
  ...values: unknown[]
): Promise<unknown> | undefined {
  const promises: Promise<unknown>[] = [];
  try {
    for (const listener of emitter.rawListeners(event)) {
      const call = (): unknown => Reflect.apply(listener, emitter, values);
      const result = context.runInAsyncScope(call);
      if (result instanceof Promise) promises.push(result);
    }
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
  if (promises.length === 0) return undefined;
  // `allSettled` handles rejections. The promise that `then` returns does not, so that a rejection stays unhandled.
  for (const promise of promises) void promise.then(() => {});
  return Promise.allSettled(promises);
}
