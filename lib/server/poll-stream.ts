import type { ServerResponse } from 'node:http';
import type { EventStream, EventStreamOwner } from './event-stream';
import { abandonResponse, destroyResponse, isAborted } from './node-http';
import { onResponseClosed, sendEventStream } from './node-http';

/** Size in bytes at which a response accepts no more events. The rest waits for the next poll. */
const MAX_SIZE = 256 * 1024;

/**
 * The response to a poll: it is held until there are events, and then sent as a whole. Proxies that hold
 * a response back until it is complete do not delay it.
 */
export class PollStream implements EventStream {
  readonly isPoll = true;
  readonly #response: ServerResponse;
  readonly #owner: EventStreamOwner;
  readonly #headers: Record<string, string>;
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #isOpen = true;
  #isClosed = false;

  constructor(response: ServerResponse, owner: EventStreamOwner, headers: Record<string, string>) {
    this.#response = response;
    this.#owner = owner;
    this.#headers = headers;
    onResponseClosed(response, () => this.#close(false));
  }

  get isWritable(): boolean {
    return this.#isOpen && this.#size < MAX_SIZE && !isAborted(this.#response);
  }

  get writableLength(): number {
    return this.#size;
  }

  write(chunk: Buffer): boolean {
    if (!this.#isOpen) return false;
    this.#size += chunk.length;
    this.#chunks.push(chunk);
    // The first chunk is the handshake, which is not sent alone. The second one ends the poll, together
    // with all chunks that follow it in the same flush.
    if (this.#chunks.length === 2) queueMicrotask(() => this.end());
    return this.isWritable;
  }

  end(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    if (isAborted(this.#response)) return; // `close` follows
    const isSent = this.#send();
    this.#chunks.length = 0;
    this.#size = 0;
    this.#close(isSent);
  }

  /** @returns false if other code has answered the poll, or the response cannot be written. */
  #send(): boolean {
    if (this.#response.headersSent) return false;
    try {
      sendEventStream(this.#response, Buffer.concat(this.#chunks), this.#headers);
      return true;
    } catch (error) {
      abandonResponse(this.#response, error);
      return false;
    }
  }

  destroy(): void {
    this.#isOpen = false;
    destroyResponse(this.#response);
  }

  #close(isFinished: boolean): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#isOpen = false;
    this.#owner.onStreamClosed(this, isFinished);
  }
}
