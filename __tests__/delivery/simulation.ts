import express from 'express';
import { SseClient } from '../../lib/client/index';
import type { SessionEndEvent, SseClientOptions } from '../../lib/client/index';
import { SseConnection, createSseMiddleware } from '../../lib/index';
import type { SseMiddleware, SseOptions } from '../../lib/index';
import type { Request } from 'express';
import { Middlebox } from '../helpers/middlebox';
import { SimulatedNetwork } from '../helpers/simulated-network';
import { VirtualClock } from '../helpers/virtual-clock';

/** Index of the sender's session or connection, number of the message, and filler for its size. */
type Message = [from: number, number: number, filler: string];
type Sse = SseMiddleware<Message, Message, Request>;

/** The record of one end of a session. */
interface End {
  sent: number;
  received: number;
  /** Index of the other end, known from its first message on. */
  peer: number | undefined;
  /** The event that ended it; `unacknowledged` is the number of messages that the event listed. */
  end: { how: string; unacknowledged: number; wasClean: boolean } | undefined;
}

export interface ServerEnd extends End {
  connection: SseConnection<Message, Message, Request>;
  /** Whether its process was killed, so that it gets no `close` event. */
  wasKilled: boolean;
}

/** A client and a server on a simulated network and clock, with a record of what each observed. */
export class Simulation {
  readonly clock = new VirtualClock();
  readonly network = new SimulatedNetwork();
  readonly middlebox = new Middlebox(this.network.fetch);
  readonly options: SseOptions<Request>;
  readonly #pickTransport: () => SseClientOptions['transport'];
  client: SseClient<Message, Message>;
  sse: Sse;
  /** The clients' sessions in order. */
  readonly sessions: End[] = [];
  /** The servers' connections in order. */
  readonly connections: ServerEnd[] = [];
  /** Descriptions of violated guarantees. */
  readonly violations: string[] = [];

  /** @param pickTransport returns the transport of the next client. */
  constructor(
    options: SseOptions<Request>,
    pickTransport: () => SseClientOptions['transport'] = () => 'stream',
  ) {
    this.options = options;
    this.#pickTransport = pickTransport;
    this.clock.install();
    this.sse = this.openServer();
    this.client = this.openClient();
  }

  get session(): End {
    return this.sessions.at(-1)!;
  }

  openClient(): SseClient<Message, Message> {
    const client = new SseClient<Message, Message>('http://server/sse', {
      fetch: this.middlebox.fetch,
      transport: this.#pickTransport(),
      backoff: (attempt) => Math.min(50, 2 ** attempt),
    });
    this.client = client;
    this.#openSession();
    client.onerror = () => {}; // the faults are expected
    client.onmessage = ({ data }) => this.#receive(this.session, this.connections, data);
    const end = (event: SessionEndEvent<Message>) => {
      const { session } = this;
      const { type, code, reason, wasClean, unacknowledged } = event;
      session.end = {
        how: `${type} ${code} ${reason}`,
        unacknowledged: unacknowledged.length,
        wasClean,
      };
      this.#checkLast(session, this.sessions, unacknowledged);
      if (type === 'sessionlost') this.#openSession();
    };
    client.onsessionlost = end;
    client.onclose = end;
    return client;
  }

  openServer(): Sse {
    const sse = createSseMiddleware<Message, Message>('/sse', this.options);
    this.network.serve(express().use(sse));
    sse.on('connection', (connection) => {
      const end: ServerEnd = { ...newEnd(), connection, wasKilled: false };
      this.connections.push(end);
      this.sendDown(end, 0); // tells the client the index of this connection
      connection.on('message', (message) => this.#receive(end, this.sessions, message));
      connection.on('close', (code, reason, { unacknowledged }) => {
        if (end.end) this.violations.push(`a second close: ${code}`);
        end.end = {
          how: `${code} ${reason}`,
          unacknowledged: unacknowledged.length,
          wasClean: false,
        };
        this.#checkLast(end, this.connections, unacknowledged);
      });
    });
    return (this.sse = sse);
  }

  /** Simulates the death of the server's process and starts another server. */
  async kill(): Promise<void> {
    for (const end of this.open()) end.connection.resume();
    await this.clock.advance(0); // delivers the messages that were acknowledged
    for (const end of this.open()) {
      end.wasKilled = true;
      end.connection.removeAllListeners();
    }
    this.network.break({ noticedBy: 'both' });
    void this.sse.close(1001); // stops the timers
    this.openServer();
  }

  /** Returns the connections that are open. */
  open(): ServerEnd[] {
    return this.connections.filter(({ end, wasKilled }) => !end && !wasKilled);
  }

  sendUp(size: number): void {
    const { session } = this;
    if (this.client.readyState > SseClient.OPEN) return;
    try {
      this.client.send([this.sessions.indexOf(session), session.sent, 'x'.repeat(size)]);
      session.sent++;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error; // larger than the server's `maxPayload`
    }
  }

  sendDown(end: ServerEnd, size: number): void {
    const { connection } = end;
    if (connection.readyState !== SseConnection.OPEN) return;
    connection.send([this.connections.indexOf(end), end.sent++, 'x'.repeat(size)]);
  }

  #openSession(): void {
    this.sessions.push(newEnd());
  }

  #receive(to: End, peers: End[], [from, number]: Message): void {
    to.peer ??= from;
    const isNext = from === to.peer && number === to.received;
    if (!isNext)
      this.violations.push(`${from}.${number} arrived in place of ${to.peer}.${to.received}`);
    if (to.end) this.violations.push(`${from}.${number} arrived after the end`);
    if (number >= peers[from]!.sent) this.violations.push(`${from}.${number} was never sent`);
    to.received++;
  }

  /** Checks that the unacknowledged messages are the last ones that the end sent. */
  #checkLast(end: End, ends: End[], messages: Message[]): void {
    const index = ends.indexOf(end);
    messages.forEach(([from, number], i) => {
      if (from !== index || number !== end.sent - messages.length + i) {
        this.violations.push(`${from}.${number} is listed as a message of ${index}`);
      }
    });
  }
}

function newEnd(): End {
  return { sent: 0, received: 0, peer: undefined, end: undefined };
}
