import type { EventEmitter } from 'node:events';
import { CloseCode } from '../protocol/close-code';

/** An event of a socket, with the fields of a browser's WebSocket event. */
export interface SocketEvent {
  /** The name of the event. */
  readonly type: string;
  /** The socket. */
  readonly target: unknown;
}

/** Events of a socket, for `addEventListener`. */
export interface SocketEventMap {
  /** Never dispatched: a server's socket is open when it is created. */
  open: SocketEvent;
  /** A message of the client. */
  message: SocketEvent & {
    /** A string, or bytes in the form of `binaryType`. */
    readonly data: unknown;
  };
  /** The connection is closed. */
  close: SocketEvent & {
    /** The close code. */
    readonly code: number;
    /** The reason. */
    readonly reason: string;
    /** Whether one of the sides has closed the connection: the code is not 1006. */
    readonly wasClean: boolean;
  };
  /** Never dispatched. */
  error: SocketEvent;
}

/** Options of a listener. */
export interface SocketListenerOptions {
  /** Whether the listener is removed when it is called. @default false */
  once?: boolean;
}

/** A listener of a socket. */
export type SocketEventListener<Event extends SocketEvent> = (event: Event) => void;

/** The listener of one type of event. */
type ListenerOf<Type extends keyof SocketEventMap> = SocketEventListener<SocketEventMap[Type]>;

/** A listener of any type of event. */
type AnyListener = (event: never) => void;

/** Calls listeners with an event object for the events of an EventEmitter. */
export class EventListeners {
  readonly #emitter: EventEmitter;
  readonly #listeners = new Map<AnyListener, (...values: unknown[]) => void>();
  readonly #handlers = new Map<string, AnyListener>();

  constructor(emitter: EventEmitter) {
    this.#emitter = emitter;
  }

  add(type: keyof SocketEventMap, listener: AnyListener, isOnce = false): void {
    const wrapper = this.#createListener(type, listener);
    this.#listeners.set(listener, wrapper);
    this.#emitter[isOnce ? 'once' : 'on'](type, wrapper);
  }

  remove(type: keyof SocketEventMap, listener: AnyListener): void {
    const wrapper = this.#listeners.get(listener);
    if (wrapper) this.#emitter.off(type, wrapper);
    this.#listeners.delete(listener);
  }

  /** Returns the value of an `on…` property. */
  getHandler<Type extends keyof SocketEventMap>(type: Type): ListenerOf<Type> | null {
    return (this.#handlers.get(type) as ListenerOf<Type> | undefined) ?? null;
  }

  /** Sets an `on…` property. */
  setHandler<Type extends keyof SocketEventMap>(
    type: Type,
    handler: ListenerOf<Type> | null,
  ): void {
    const previous = this.#handlers.get(type);
    if (previous) this.remove(type, previous);
    this.#handlers.delete(type);
    if (typeof handler !== 'function') return;
    this.#handlers.set(type, handler);
    this.add(type, handler);
  }

  #createListener(
    type: keyof SocketEventMap,
    listener: AnyListener,
  ): (...values: unknown[]) => void {
    const target = this.#emitter;
    const call = (fields: object) => listener.call(target, { type, target, ...fields } as never);
    return (first, second) => {
      if (type === 'message') {
        call({ data: second === true ? first : String(first) });
      } else if (type === 'close') {
        call({ code: first, reason: String(second), wasClean: first !== CloseCode.abnormal });
      } else {
        call({});
      }
    };
  }
}
