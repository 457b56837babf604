/** Events of a client. */
export interface SseClientEventMap<Incoming = unknown, Outgoing = unknown> {
  /** A session is open: the first one, or a new one after `sessionlost`. */
  open: Event;
  /** A message of the server has arrived, as `event.data`. Each arrives once, in order. */
  message: SseMessageEvent<Incoming>;
  /**
   * A request has failed. `event.message` says why and what can be done about it. The client repeats
   * the request, unless a `close` event follows. Also dispatched when the client starts to poll because
   * of a proxy, and when a Blob cannot be read.
   */
  error: SseClientErrorEvent;
  /** The server has acknowledged messages, so `bufferedAmount` has decreased. */
  drain: Event;
  /**
   * The event stream was lost; `event.reason` says why. The session continues, and the client reconnects.
   */
  disconnect: SseClientDisconnectEvent;
  /** The event stream is open again, and the session has continued. */
  reconnect: Event;
  /**
   * The server has lost the session, and the client opens a new one. Messages of the old session are
   * not sent again: see `event.unacknowledged`.
   */
  sessionlost: SessionEndEvent<Outgoing>;
  /** The client is closed, by either side or because of an error. It opens no new session. */
  close: SessionEndEvent<Outgoing>;
}

/** The `message` event of a client: the platform's `MessageEvent`. */
export interface SseMessageEvent<Incoming = unknown> extends Event {
  /** What the server passed to `send`, after a round trip through JSON. Bytes are an ArrayBuffer. */
  readonly data: Incoming;
}

/** The `error` event of a client. */
export interface SseClientErrorEvent extends Event {
  /** Says what failed, and what can be done about it. */
  readonly message: string;
}

/** The `disconnect` event of a client. */
export interface SseClientDisconnectEvent extends Event {
  /** Says why the event stream was lost. */
  readonly reason: string;
}

/** The end of a session: the `sessionlost` and `close` events. Like WebSocket's `CloseEvent`. */
export interface SessionEndEvent<Outgoing = unknown> extends Event {
  /** The close code of the side that closed; 1006 if the session ended without one. */
  readonly code: number;
  /** The reason of the side that closed, or the error that ended the session. */
  readonly reason: string;
  /** Whether both sides have closed the session and every message sent was acknowledged. */
  readonly wasClean: boolean;
  /**
   * The messages that the server has not acknowledged, oldest first. The server may have received some
   * of them.
   */
  readonly unacknowledged: Outgoing[];
}

/** An event handler, as set by an `on…` property. */
export type Handler<E extends Event> = ((event: E) => void) | null;

/** Options of a listener: those of the platform's `EventTarget`. */
export interface SseListenerOptions {
  /** Has no effect other than to distinguish listeners: a client has no parent node. @default false */
  capture?: boolean;
  /** Whether the listener is removed when it is called. @default false */
  once?: boolean;
  /** Whether the listener never cancels the event. Has no effect. @default false */
  passive?: boolean;
  /** Removes the listener when it is aborted. @default no signal */
  signal?: AbortSignal;
}

/** A listener of the platform's `EventTarget`: a function, or an object with the method `handleEvent`. */
export type Listener<E> =
  | ((event: E) => void)
  | {
      /** Called with each event. */
      handleEvent(event: E): void;
    }
  | null;

/** The platform's `EventTarget`, with the types of a client's events. */
export interface TypedEventTarget<Events> {
  /**
   * Calls `listener` for each event of a type.
   *
   * @param options as for the platform's `EventTarget`: `once`, `signal`, for example.
   */
  addEventListener<Type extends keyof Events>(
    type: Type,
    listener: Listener<Events[Type]>,
    options?: boolean | SseListenerOptions,
  ): void;
  /** Removes a listener. No effect if it was not added. */
  removeEventListener<Type extends keyof Events>(
    type: Type,
    listener: Listener<Events[Type]>,
    options?: boolean | SseListenerOptions,
  ): void;
  /** Calls the listeners of the event's type. Returns false if one has cancelled the event. */
  dispatchEvent(event: Event): boolean;
}

/** The platform's `EventTarget`, with the types and the `on…` properties of a client's events. */
export interface ClientEventTarget<Incoming, Outgoing> extends TypedEventTarget<
  SseClientEventMap<Incoming, Outgoing>
> {
  /** Called when a session is open. See {@link SseClientEventMap.open}. */
  onopen: Handler<Event>;
  /** Called with each message. See {@link SseClientEventMap.message}. */
  onmessage: Handler<SseMessageEvent<Incoming>>;
  /** Called when a request has failed. See {@link SseClientEventMap.error}. */
  onerror: Handler<SseClientErrorEvent>;
  /** Called when the server has acknowledged messages. See {@link SseClientEventMap.drain}. */
  ondrain: Handler<Event>;
  /** Called when the event stream was lost. See {@link SseClientEventMap.disconnect}. */
  ondisconnect: Handler<SseClientDisconnectEvent>;
  /** Called when the event stream is open again. See {@link SseClientEventMap.reconnect}. */
  onreconnect: Handler<Event>;
  /** Called when the server has lost the session. See {@link SseClientEventMap.sessionlost}. */
  onsessionlost: Handler<SessionEndEvent<Outgoing>>;
  /** Called when the client is closed. See {@link SseClientEventMap.close}. */
  onclose: Handler<SessionEndEvent<Outgoing>>;
}

/** The types of a client's events. */
const EVENT_TYPES = [
  'open',
  'message',
  'error',
  'drain',
  'disconnect',
  'reconnect',
  'sessionlost',
  'close',
] as const satisfies (keyof SseClientEventMap)[];

/** Whether the platform itself calls the `on…` properties of every event target, as workerd does. */
const callsHandlers = (() => {
  let isCalled = false;
  const target = Object.assign(new EventTarget(), { onprobe: () => (isCalled = true) });
  target.dispatchEvent(new Event('probe'));
  return isCalled;
})();

/** A handler that was set as an `on…` property, and the listener that calls it. */
interface SetHandler {
  handler: EventListener;
  listener: EventListener;
}

/** Defines an `on…` property for each type of event on the prototype of a class. It is null until it is set. */
export function defineHandlers(prototype: EventTarget, types: readonly string[]): void {
  for (const type of types) {
    const handlers = new WeakMap<EventTarget, SetHandler>();
    Object.defineProperty(prototype, `on${type}`, {
      configurable: true,
      enumerable: true,
      get(this: EventTarget) {
        return handlers.get(this)?.handler ?? null;
      },
      // A listener for each handler, so that the platform calls it, reports what it throws, and runs
      // it in the zone in which it was set (zone.js).
      set(this: EventTarget, handler: EventListener | null) {
        this.removeEventListener(type, handlers.get(this)?.listener ?? null);
        handlers.delete(this);
        if (typeof handler !== 'function') return;
        const listener = (event: Event) => handler.call(this, event);
        handlers.set(this, { handler, listener });
        if (!callsHandlers) this.addEventListener(type, listener);
      },
    });
  }
}

/** The targets to which a listener for `error` was added. */
const observed = new WeakSet<EventTarget>();

/** An event target with an `on…` property for each of {@link EVENT_TYPES}. */
class HandlerEventTarget extends EventTarget {
  static {
    defineHandlers(this.prototype, EVENT_TYPES);
  }

  override addEventListener(...args: Parameters<EventTarget['addEventListener']>): void {
    if (args[0] === 'error') observed.add(this);
    super.addEventListener(...args);
  }
}

/** The constructor of {@link ClientEventTarget}. */
export const ClientEventTarget = HandlerEventTarget as unknown as new <
  Incoming,
  Outgoing,
>() => ClientEventTarget<Incoming, Outgoing>;

/** The fields of each type of event, without those of `Event`. */
type EventFields = {
  [Type in keyof SseClientEventMap]: Omit<SseClientEventMap[Type], keyof Event>;
};

/** Dispatches an event of a client: calls its handler and listeners. */
export type Dispatch = <Type extends keyof SseClientEventMap>(
  type: Type,
  ...fields: object extends EventFields[Type] ? [] : [EventFields[Type]]
) => void;

/**
 * Creates the function that dispatches a client's events. An error that nobody listens for is written to the console,
 * unless the last one was the same.
 */
export function createDispatch(target: EventTarget & { onerror: unknown }): Dispatch {
  let lastWarning: string | undefined;
  return (type, fields?: object) => {
    if (type === 'error' && !observed.has(target) && !target.onerror) {
      const { message } = fields as EventFields['error'];
      if (message !== lastWarning) console.warn(`sse-duplex: ${(lastWarning = message)}`);
    }
    target.dispatchEvent(
      type === 'message' ? new MessageEvent(type, fields) : Object.assign(new Event(type), fields),
    );
  };
}
