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

/** A listener of a socket that is an object, which is `this` in the call of its method. */
export interface SocketEventListenerObject<Event extends SocketEvent> {
  /** Called with each event. */
  handleEvent(event: Event): void;
}

/** The listener of one type of event. */
type ListenerOf<Type extends keyof SocketEventMap> = SocketEventListener<SocketEventMap[Type]>;

/** A listener of any type of event. */
type AnyListener = SocketEventListener<never> | SocketEventListenerObject<never>;

/** A listener of the emitter, which calls a listener of the application with an event object. */
type EmitterListener = (...values: unknown[]) => void;

/** What a listener of the emitter was created from. */
interface Origin {
  listener: AnyListener;
  /** Whether the listener was set as an `on…` property. */
  isHandler: boolean;
}

/** The fields of each type of event, from the arguments of the emitter's event. */
const FIELDS = new Map<string, (...values: unknown[]) => object>([
  ['open', () => ({})],
  ['message', (data, isBinary) => ({ data: isBinary === true ? data : String(data) })],
  [
    'close',
    (code, reason) => ({ code, reason: String(reason), wasClean: code !== CloseCode.abnormal }),
  ],
  ['error', () => ({})],
]);

/** Calls listeners with an event object for the events of an EventEmitter. */
export class EventListeners {
  readonly #emitter: EventEmitter;
  /** The emitter itself has the list of the listeners, from which the application may remove them. */
  readonly #origins = new WeakMap<EmitterListener, Origin>();

  constructor(emitter: EventEmitter) {
    this.#emitter = emitter;
  }

  /** No effect for types that a WebSocket does not have, and if the listener was added before. */
  add(type: string, listener: AnyListener, isOnce = false): void {
    if (!this.#find(type, false, listener)) {
      this.#add(type, { listener, isHandler: false }, isOnce);
    }
  }

  remove(type: string, listener: AnyListener): void {
    const added = this.#find(type, false, listener);
    if (added) this.#emitter.off(type, added);
  }

  /** Returns the value of an `on…` property. */
  getHandler<Type extends keyof SocketEventMap>(type: Type): ListenerOf<Type> | null {
    const added = this.#find(type, true);
    const origin = added && this.#origins.get(added);
    return (origin?.listener as ListenerOf<Type> | undefined) ?? null;
  }

  /** Sets an `on…` property. */
  setHandler<Type extends keyof SocketEventMap>(
    type: Type,
    handler: ListenerOf<Type> | null,
  ): void {
    const previous = this.#find(type, true);
    if (previous) this.#emitter.off(type, previous);
    if (typeof handler === 'function') this.#add(type, { listener: handler, isHandler: true });
  }

  /** Finds the listener of the emitter that calls the `on…` property, or that calls `listener`. */
  #find(type: string, isHandler: boolean, listener?: AnyListener): EmitterListener | undefined {
    return (this.#emitter.listeners(type) as EmitterListener[]).find((each) => {
      const origin = this.#origins.get(each);
      return origin?.isHandler === isHandler && (isHandler || origin.listener === listener);
    });
  }

  #add(type: string, origin: Origin, isOnce = false): void {
    const fields = FIELDS.get(type);
    if (!fields) return;
    const target = this.#emitter;
    const { listener } = origin;
    const added: EmitterListener = (...values) => {
      const event = { type, target, ...fields(...values) } as never;
      if (typeof listener === 'function') listener.call(target, event);
      else listener.handleEvent(event);
    };
    this.#origins.set(added, origin);
    target[isOnce ? 'once' : 'on'](type, added);
  }
}
