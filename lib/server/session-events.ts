import type { Close } from '../protocol/wire';
import { diagnose } from './diagnostics';
import { emit } from './emit';
import type { Discarded } from './send-buffer';
import type { SseConnection } from './sse-connection';

/** Emits the events of a connection, and publishes them on the channels of `node:diagnostics_channel`. */
export class SessionEvents {
  readonly #context: { path: string; connection: SseConnection };

  constructor(path: string, connection: SseConnection) {
    this.#context = { path, connection };
  }

  drain(): void {
    emit(this.#context.connection, 'drain');
  }

  disconnect(): void {
    this.#publish('disconnect');
  }

  reconnect(): void {
    this.#publish('reconnect');
  }

  moved(): void {
    this.#publish('moved');
  }

  #publish(event: 'disconnect' | 'reconnect' | 'moved'): void {
    diagnose(`sse-duplex:${event}`, this.#context);
    emit(this.#context.connection, event);
  }

  overflow(direction: 'down' | 'up', bytes: number): void {
    diagnose('sse-duplex:overflow', { ...this.#context, direction, bytes });
  }

  close({ code, reason }: Close, messages: Discarded): void {
    const unacknowledged = messages.length;
    diagnose('sse-duplex:close', { ...this.#context, code, reason, unacknowledged });
    emit(this.#context.connection, 'close', code, reason, {
      get unacknowledged() {
        return messages.decode();
      },
    });
  }
}
