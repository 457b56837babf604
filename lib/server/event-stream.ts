/**
 * The response of one GET, as a session uses it. No method throws. After `onStreamClosed` was called
 * for a stream, its methods have no effect.
 */
export interface EventStream {
  /** Whether the response is a poll, which ends after its events although the client is still there. */
  readonly isPoll: boolean;
  /** Writes bytes. Returns false if no more should be written before `onStreamDrained`. */
  write(chunk: Buffer): boolean;
  /** Whether the stream accepts bytes now: it is open and not waiting for `onStreamDrained`. */
  readonly isWritable: boolean;
  /** Bytes that are buffered in this process, as `Writable.writableLength`. */
  readonly writableLength: number;
  /** Ends the stream after everything that was written. A stream is closed if its client does not receive this in time. */
  end(): void;
  /** Closes the stream immediately and discards what is buffered. */
  destroy(): void;
}

/** Callbacks of an event stream. Each is called with the stream that it concerns. */
export interface EventStreamOwner {
  /** The stream accepts bytes again. */
  onStreamDrained(stream: EventStream): void;
  /**
   * The stream is closed. Called once, after every other callback.
   *
   * @param isFinished whether everything that was written, and the end, reached the socket.
   */
  onStreamClosed(stream: EventStream, isFinished: boolean): void;
}
