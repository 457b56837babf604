/** The `close` event of an {@link SseWebSocket}: the platform's `CloseEvent` where there is one. */
export interface SseWebSocketCloseEvent extends Event {
  /** The close code of the side that closed; 1005 if it gave none; 1006 if the connection failed. */
  readonly code: number;
  /** The reason of the side that closed, or ''. */
  readonly reason: string;
  /** Whether both sides have closed the connection, and every message sent was acknowledged. */
  readonly wasClean: boolean;
}

/** The fields of a {@link SseWebSocketCloseEvent}. */
export type CloseEventFields = Pick<SseWebSocketCloseEvent, 'code' | 'reason' | 'wasClean'>;

const { CloseEvent: PlatformCloseEvent } = globalThis as {
  CloseEvent?: new (type: string, fields: CloseEventFields) => SseWebSocketCloseEvent;
};

/** For platforms without `CloseEvent`, such as Node before version 23. */
class CloseEvent extends Event implements SseWebSocketCloseEvent {
  readonly code: number;
  readonly reason: string;
  readonly wasClean: boolean;

  constructor(type: string, { code, reason, wasClean }: CloseEventFields) {
    super(type);
    this.code = code;
    this.reason = reason;
    this.wasClean = wasClean;
  }
}

export function createCloseEvent(fields: CloseEventFields): SseWebSocketCloseEvent {
  return new (PlatformCloseEvent ?? CloseEvent)('close', fields);
}
