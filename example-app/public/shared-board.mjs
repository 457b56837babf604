/* global SseClient -- from /sse/client.js, which the middleware serves */
import { Audit } from './audit.mjs';
import { Board } from './board.mjs';

/**
 * The board as this page knows it, and the channel that keeps it the same as everybody else's.
 *
 * `board` is the log so far, as the server numbered it. `pending` is what this page has drawn and
 * said and has not seen in the log yet. It is shown on top of the board, and each part of it goes
 * when it comes back with its number: nothing is shown late, and nothing is shown twice.
 */
export class SharedBoard {
  board = new Board();
  pending = [];
  counts = { out: 0, in: 0 };
  audit = new Audit();
  line = { state: 'connecting' };
  #me;
  #lastNumber = 0;
  #fetch;
  #on;
  #client;

  constructor({ me, fetch, on }) {
    this.#me = me;
    this.#fetch = fetch;
    this.#on = on;
  }

  join() {
    const client = new SseClient('/sse', { fetch: this.#fetch });
    this.#client = client;
    this.#introduce();

    client.addEventListener('message', ({ data }) => this.#receive(data));
    client.addEventListener('error', ({ message }) => console.warn(message));
    client.addEventListener('open', () => this.#setLine({ state: 'open' }), { once: true });

    // The stream is lost and the session lives. There is nothing to do: what is sent now waits.
    client.addEventListener('disconnect', () => this.#setLine({ state: 'lost' }));
    client.addEventListener('reconnect', () => this.#return());

    // The server lost the session: it was restarted, or this page slept for too long. The client
    // opens a new one and tells what the old one never confirmed; the server sends its board anew.
    client.addEventListener('sessionlost', ({ unacknowledged }) => {
      this.#keep(unacknowledged);
      this.#introduce();
      this.#setLine({ state: 'lost' });
      client.addEventListener('open', () => this.#return(), { once: true });
    });

    client.addEventListener('close', ({ reason, unacknowledged }) => {
      this.#keep(unacknowledged);
      this.#setLine({ state: 'closed', reason: reason || 'The server ended it' });
    });
  }

  get isFlowing() {
    return this.line.state === 'open' || this.line.state === 'back';
  }

  get bytesWaiting() {
    return this.#client.bufferedAmount;
  }

  /** Draws or says something: on this page at once, and on its way to all the others. */
  commit(fields) {
    const message = { ...fields, n: ++this.#lastNumber };
    this.pending.push({ message, ink: this.#me.ink });
    if (this.line.state !== 'closed') this.#send(message);
    this.#on.change();
  }

  /** Where the pen is, for the others to see. Nobody needs to know it later, so it never waits. */
  point(at) {
    if (this.isFlowing) this.#send({ type: 'cursor', at });
  }

  sayHello() {
    const { key, name, ink } = this.#me;
    if (this.line.state !== 'closed') this.#send({ type: 'hello', key, name, ink });
  }

  /** What is pending, in the form it will have in the log. */
  pendingEntries(type) {
    const { id: by, name, ink: myInk } = this.#me;
    return this.pending
      .filter(({ message }) => message.type === type)
      .map(({ message, ink }) => ({ ...message, by, name, ink: ink ?? myInk ?? 0 }));
  }

  #introduce() {
    this.sayHello();
    for (const { message } of this.pending) this.#send(message);
  }

  // What the old session had confirmed is in the server's log already, if that still exists.
  #keep(unacknowledged) {
    const numbers = new Set(unacknowledged.map(({ n }) => n));
    this.pending = this.pending.filter(({ message }) => numbers.has(message.n));
  }

  #send(message) {
    this.#client.send(message);
    this.counts.out++;
  }

  #receive(message) {
    this.counts.in++;
    if (message.seq !== undefined) this.#apply(message);
    else if (message.type === 'snapshot') this.#start(message.board);
    else if (message.type === 'you') this.#recognise(message);
    else if (message.type === 'people') this.#on.people(message.people);
    else if (message.type === 'cursor') this.#on.cursor(message.by, message.at);
    this.#on.change();
  }

  #start(state) {
    this.board = new Board(state);
    this.audit.startAfter(this.board.seq);
    this.#on.snapshot();
  }

  #recognise({ id, ink, taken }) {
    Object.assign(this.#me, { id, ink });
    this.pending = this.pending.filter(({ message }) => message.n > taken);
    this.#on.recognised();
  }

  #apply(entry) {
    this.audit.check(entry);
    this.board.apply(entry);
    if (entry.by === this.#me.id) {
      this.pending = this.pending.filter(({ message }) => message.n !== entry.n);
    }
    this.#on.entry(entry);
  }

  #return() {
    const owed = this.pending.length;
    this.#setLine({ state: 'back', owed, upTo: this.#lastNumber, since: Date.now() });
  }

  #setLine(line) {
    this.line = line;
    this.#on.change();
  }
}
