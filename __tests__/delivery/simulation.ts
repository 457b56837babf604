import express from 'express';
import { SseClient } from '../../lib/client/index';
import type { SessionEndEvent } from '../../lib/client/index';
import { SseConnection, createSseMiddleware } from '../../lib/index';
import type { SseMiddleware, SseOptions } from '../../lib/index';
import type { Request } from 'express';
import { SimulatedNetwork } from '../helpers/simulated-network';
import { VirtualClock } from '../helpers/virtual-clock';

/** Number of the sender's session or connection, number in it, and what makes its size. */
type Message = [from: number, number: number, filler: string];
type Sse = SseMiddleware<Message, Message, Request>;

/** One end of one session: what it sent, what it got, what it was told at the end. */
interface End {
  sent: number;
  received: number;
  /** The other end, from its first message on. */
  peer: number | undefined;
  /** How it ended; `unsure` is how many of the last messages it was told may be lost. */
  end: { how: string; unsure: number; wasClean: boolean } | undefined;
}

export interface ServerEnd extends End {
  connection: SseConnection<Message, Message, Request>;
  /** Its process was killed: nobody could be told there. */
  wasKilled: boolean;
}

/** A client and a server on a simulated network and clock, and the books of what each was told. */
export class Simulation {
  readonly clock = new VirtualClock();
  readonly network = new SimulatedNetwork();
  readonly options: SseOptions<Request>;
  client: SseClient<Message, Message>;
  sse: Sse;
  /** Of the clients, in order: a client has one after the other. */
  readonly sessions: End[] = [];
  /** At the servers, in order. */
  readonly connections: ServerEnd[] = [];
  /** What must not happen. */
  readonly faults: string[] = [];

  constructor(options: SseOptions<Request>) {
    this.options = options;
    this.clock.install();
    this.sse = this.openServer();
    this.client = this.openClient();
  }

  get session(): End {
    return this.sessions.at(-1)!;
  }

  openClient(): SseClient<Message, Message> {
    const client = new SseClient<Message, Message>('http://server/sse', {
      fetch: this.network.fetch,
      backoff: (attempt) => Math.min(50, 2 ** attempt),
    });
    this.client = client;
    this.#openSession();
    client.onmessage = ({ data }) => this.#receive(this.session, this.connections, data);
    const end = (event: SessionEndEvent<Message>) => {
      const { session } = this;
      const { type, code, reason, wasClean, unacknowledged } = event;
      session.end = { how: `${type} ${code} ${reason}`, unsure: unacknowledged.length, wasClean };
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
      this.sendDown(end, 0); // so that the client knows whose messages it gets
      connection.on('message', (message) => this.#receive(end, this.sessions, message));
      connection.on('close', (code, reason, { unacknowledged }) => {
        if (end.end) this.faults.push(`a second close: ${code}`);
        end.end = { how: `${code} ${reason}`, unsure: unacknowledged.length, wasClean: false };
        this.#checkLast(end, this.connections, unacknowledged);
      });
    });
    return (this.sse = sse);
  }

  /** Lets the server's process die, and another take its place. */
  async kill(): Promise<void> {
    for (const end of this.open()) end.connection.resume();
    await this.clock.advance(0); // what was taken is in its books
    for (const end of this.open()) {
      end.wasKilled = true;
      end.connection.removeAllListeners();
    }
    this.network.break({ told: 'both' });
    void this.sse.close(1001); // the process's timers die with it
    this.openServer();
  }

  /** The connections that may be sent to. */
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
      if (!(error instanceof RangeError)) throw error; // over the server's `maxPayload`: not sent
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
    if (!isNext) this.faults.push(`${from}.${number} came as the ${to.received}th of ${to.peer}`);
    if (to.end) this.faults.push(`${from}.${number} came after the end`);
    if (number >= peers[from]!.sent) this.faults.push(`${from}.${number} was never sent`);
    to.received++;
  }

  /** What an end is told may be lost is the last that it sent. */
  #checkLast(end: End, ends: End[], messages: Message[]): void {
    const index = ends.indexOf(end);
    messages.forEach(([from, number], i) => {
      if (from !== index || number !== end.sent - messages.length + i) {
        this.faults.push(`${from}.${number} is named as a message of ${index}`);
      }
    });
  }
}

function newEnd(): End {
  return { sent: 0, received: 0, peer: undefined, end: undefined };
}
