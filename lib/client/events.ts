/** Events of a client. */
export interface SseClientEventMap<Incoming = unknown, Outgoing = unknown> {
  /** A session is open: the first one, or a new one after `sessionlost`. */
  open: Event;
  /** A message of the server has arrived, as `event.data`. Each arrives once, in order. */
  message: MessageEvent<Incoming>;
  /**
   * A request has failed. `event.message` says why and what can be done about it. The client repeats
   * the request, unless a `close` event follows.
   */
  error: SseClientErrorEvent;
  /** The server has acknowledged messages, so `bufferedAmount` has decreased. */
  drain: Event;
  /**
   * The event stream was lost; `event.reason` says why. The session continues: messages of both sides
   * wait until the client has reconnected.
   */
  disconnect: SseClientDisconnectEvent;
  /** The event stream is open again. No message was lost. */
  reconnect: Event;
  /**
   * The server has lost the session, and the client opens a new one. Messages of the old session are
   * not sent again: see `event.unacknowledged`.
   */
  sessionlost: SessionEndEvent<Outgoing>;
  /** The client is closed, by either side or because of an error. It opens no new session. */
  close: SessionEndEvent<Outgoing>;
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
   * The messages that the server has not acknowledged, oldest first. The server may have received the
   * first of them.
   */
  readonly unacknowledged: Outgoing[];
}

/** An event handler, as set by an `on…` property. */
export type Handler<E extends Event> = ((event: E) => void) | null;

/** The platform's `EventTarget`, with the types of a client's events. */
export interface TypedEventTarget<Events> {
  /**
   * Calls `listener` for each event of a type.
   *
   * @param options as for the platform's `EventTarget`: `once`, `signal`, for example.
   */
  addEventListener<Type extends keyof Events>(
    type: Type,
    listener: ((event: Events[Type]) => void) | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  /** Removes a listener. No effect if it was not added. */
  removeEventListener<Type extends keyof Events>(
    type: Type,
    listener: ((event: Events[Type]) => void) | null,
    options?: boolean | EventListenerOptions,
  ): void;
  /** Calls the listeners of the event's type. Returns false if one has cancelled the event. */
  dispatchEvent(event: Event): boolean;
}

/** The platform's `EventTarget`, with the types and the `on…` properties of a client's events. */
export interface ClientEventTarget<Incoming, Outgoing> extends TypedEventTarget<
  SseClientEventMap<Incoming, Outgoing>
> {
  /** Called when a session is open. See {@link SseClientEventMap.open}. */
  onopen?: Handler<Event>;
  /** Called with each message. See {@link SseClientEventMap.message}. */
  onmessage?: Handler<MessageEvent<Incoming>>;
  /** Called when a request has failed. See {@link SseClientEventMap.error}. */
  onerror?: Handler<SseClientErrorEvent>;
  /** Called when the server has acknowledged messages. See {@link SseClientEventMap.drain}. */
  ondrain?: Handler<Event>;
  /** Called when the event stream was lost. See {@link SseClientEventMap.disconnect}. */
  ondisconnect?: Handler<SseClientDisconnectEvent>;
  /** Called when the event stream is open again. See {@link SseClientEventMap.reconnect}. */
  onreconnect?: Handler<Event>;
  /** Called when the server has lost the session. See {@link SseClientEventMap.sessionlost}. */
  onsessionlost?: Handler<SessionEndEvent<Outgoing>>;
  /** Called when the client is closed. See {@link SseClientEventMap.close}. */
  onclose?: Handler<SessionEndEvent<Outgoing>>;
}

/** The constructor of {@link ClientEventTarget}. The `on…` properties are undefined until they are set. */
export const ClientEventTarget = EventTarget as new <Incoming, Outgoing>() => ClientEventTarget<
  Incoming,
  Outgoing
>;

/** The fields that an event of a type has beside those of every event. */
type EventFields = {
  [Type in keyof SseClientEventMap]: Type extends 'message'
    ? { data: unknown }
    : Omit<SseClientEventMap[Type], keyof Event>;
};

/** Dispatches an event of a client: calls its handler and listeners. */
export type Dispatch = <Type extends keyof SseClientEventMap>(
  type: Type,
  ...fields: object extends EventFields[Type] ? [] : [EventFields[Type]]
) => void;

/** Creates the function that dispatches a client's events. */
export function createDispatch<Incoming, Outgoing>(
  target: ClientEventTarget<Incoming, Outgoing>,
): Dispatch {
  return (type, fields?: object) => {
    const handler = target[`on${type}`] as EventListener | null | undefined;
    // As a listener, so that the platform reports what it throws.
    if (handler) target.addEventListener(type, handler, { once: true });
    target.dispatchEvent(
      type === 'message' ? new MessageEvent(type, fields) : Object.assign(new Event(type), fields),
    );
  };
}
