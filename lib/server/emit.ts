import type { EventEmitter } from 'node:events';

/**
 * Tells the application. A listener's throw is the application's fault, and becomes an uncaught
 * exception as with any emitter of Node's; but in a tick of its own, so that it interrupts neither
 * this session nor the others.
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
