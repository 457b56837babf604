import type { Random } from './random';
import type { SimulatedNetwork } from './simulated-network';

/** Time in milliseconds without a stream after which Dart's client closes [dart]. */
const ERROR_TIMEOUT = 5_000;
/** Largest number of POSTs in flight [dart]. */
const MAX_IN_FLIGHT = 1_000;
/** Share of the POSTs without a response that a browser sends again, because their socket was reused. */
const REPEATED_SHARES = [0.97, 1, 1];

/** What receives the messages of a {@link ScriptedDartClient}. */
export interface DartClientOwner {
  /**
   * @param token session token of the message's id.
   * @param count of the message's id.
   */
  onMessage(token: string, count: number, message: unknown): void;
  /** A response with an error status has ended the EventSource for good. */
  onRejected(status: number, lastEventId: string | undefined): void;
}

/** Dart's `SseClient` in a browser: a native EventSource, and numbered POSTs, on a simulated network and clock. */
export class ScriptedDartClient {
  isClosed = false;
  lastEventId: string | undefined;
  /** Number of messages that were sent. */
  sent = 0;
  /** The status of each message's POST, by number; 0 if it failed. */
  readonly statuses = new Map<number, number>();
  /** Time at which the stream was lost; Infinity while there is one. */
  lostAt = 0;
  readonly #network: SimulatedNetwork;
  readonly #random: Random;
  readonly #owner: DartClientOwner;
  readonly #url: string;
  /** Firefox and WebKit ignore the id of an event without data. */
  readonly #ignoresEmptyEvents: boolean;
  readonly #repeatedShare: number;
  #retry = 3_000;
  #errorTimer: NodeJS.Timeout | undefined;
  #hasOpened = false;
  #inFlight = 0;
  readonly #queue: number[] = [];
  #abort = new AbortController();

  constructor(network: SimulatedNetwork, random: Random, id: string, owner: DartClientOwner) {
    this.#network = network;
    this.#random = random;
    this.#owner = owner;
    this.#url = `http://server/sse?sseClientId=${id}`;
    this.#ignoresEmptyEvents = random.next() < 0.3;
    this.#repeatedShare = random.pick(REPEATED_SHARES);
    void this.#connect();
  }

  /** Sends the next message: its number. */
  send(): void {
    this.#queue.push(this.sent++);
    this.#sendQueued();
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.#errorTimer);
    this.#abort.abort();
  }

  // --- EventSource ---------------------------------------------------------------------------------

  async #connect(): Promise<void> {
    if (this.isClosed) return;
    this.#abort = new AbortController();
    const { lastEventId } = this;
    const headers: Record<string, string> = {};
    if (lastEventId !== undefined) headers['Last-Event-ID'] = lastEventId;
    try {
      const { signal } = this.#abort;
      const response = await this.#network.fetch(this.#url, { method: 'GET', headers, signal });
      if (response.status !== 200) {
        this.#owner.onRejected(response.status, lastEventId);
        return this.#onError();
      }
      this.#onOpen();
      await this.#read(response);
    } catch {
      // the connection was lost
    }
    this.lostAt = performance.now();
    this.#onError();
    setTimeout(() => void this.#connect(), this.#retry);
  }

  async #read({ body }: Response): Promise<void> {
    const decoder = new TextDecoder();
    let text = '';
    for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
      text += decoder.decode(chunk, { stream: true });
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) this.#onEvent(block);
    }
  }

  #onEvent(block: string): void {
    if (this.isClosed) return;
    const fields = new Map(
      block.split('\n').map((line) => {
        const [name = '', ...value] = line.split(': ');
        return [name, value.join(': ')];
      }),
    );
    const data = fields.get('data');
    this.#retry = Number(fields.get('retry') ?? this.#retry);
    if (data || !this.#ignoresEmptyEvents) this.lastEventId = fields.get('id') ?? this.lastEventId;
    if (!data) return;
    if (fields.get('event') === 'control') return this.close();
    const [token = '', count] = String(fields.get('id')).split('.');
    this.#owner.onMessage(token, Number(count), JSON.parse(data));
  }

  #onOpen(): void {
    clearTimeout(this.#errorTimer);
    this.#errorTimer = undefined;
    this.#hasOpened = true;
    this.lostAt = Infinity;
    this.#sendQueued();
  }

  #onError(): void {
    if (!this.isClosed) this.#errorTimer ??= setTimeout(() => this.close(), ERROR_TIMEOUT);
  }

  // --- POSTs ---------------------------------------------------------------------------------------

  #sendQueued(): void {
    while (this.#hasOpened && this.#inFlight < MAX_IN_FLIGHT) {
      const number = this.#queue.shift();
      if (number === undefined) return;
      this.#inFlight++;
      void this.#post(number);
    }
  }

  async #post(number: number): Promise<void> {
    const url = `${this.#url}&messageId=${number}`;
    const body = JSON.stringify(String(number));
    let status = 0;
    while (status === 0 && !this.isClosed) {
      try {
        ({ status } = await this.#network.fetch(url, { method: 'POST', body }));
      } catch {
        if (this.#random.next() > this.#repeatedShare) this.close(); // the Future of Dart's client fails
      }
    }
    this.statuses.set(number, status);
    this.#inFlight--;
    this.#sendQueued();
  }
}
