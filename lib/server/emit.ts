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
