/** Details of the end of a connection. */
export interface CloseDetails<Outgoing> {
  /**
   * The messages that the client did not acknowledge, oldest first. It may have received some of them,
   * because it acknowledges in batches. A client of the Dart dialect never acknowledges: for it, these
   * are the messages that were not written to a socket.
   */
  readonly unacknowledged: Outgoing[];
}

/** Details of a message. */
export interface MessageDetails {
  /**
   * Number of the message in its session, counted from 0. Together with the session id it identifies the message,
   * also if it is delivered again: use both as the key of what a listener stores.
   */
  readonly number: number;
  /**
   * In a cluster: whether a previous node may have delivered the message. True for messages that it had recorded, but
   * not as handled, and for those of the first POST after a node that was killed. Always false in a single process.
   */
  readonly redelivered: boolean;
}

/** Events of an `SseConnection`: the arguments of their listeners. */
export interface SseConnectionEvents<Incoming, Outgoing> {
  /** A message of the client. Emitted in the order of sending, once for each message (but see `redelivered`). */
  message: [message: Incoming, details: MessageDetails];
  /** The stream was lost. The client has `reconnectTimeout` to reconnect; messages are kept for it. */
  disconnect: [];
  /** The client has reconnected. No messages were lost. */
  reconnect: [];
  /**
   * In a cluster: another node has taken the session over. Nothing is sent or received with this object any more, and
   * `close` is not emitted. The other node emits `connection`, with `recovered`.
   */
  moved: [];
  /** Emitted after `send()` returned `false`, when the buffered data is below the limits again. */
  drain: [];
  /**
   * The session ended. Emitted once, after the last `message`. `code` and `reason` are those of the side
   * that closed, or 1006 if the client disappeared without closing.
   */
  close: [code: number, reason: string, details: CloseDetails<Outgoing>];
}

/** The arguments of `emit`, as EventEmitter declares them. */
export type EventArguments<Events, Event> = Event extends keyof Events
  ? Events[Event] & unknown[]
  : never;
