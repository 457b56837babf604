/* global SseClient -- defined by /sse/client.js, which the middleware serves */
import { Audit } from './audit.mjs';
import { Board } from './board.mjs';

/**
 * This page's copy of the board, and the connection that keeps it equal to the others.
 *
 * `board` has the entries that the server has numbered. `pending` has this page's own messages that have
 * not come back from the server yet. They are shown on top of the board. Each is removed when it comes
 * back as an entry, or when the server says that it has it. So a line appears immediately, and a chat line
 * never appears twice.
 */
export class SharedBoard {
  board = new Board();
  pending = [];
  counts = { out: 0, in: 0 };
  audit = new Audit();
  line = { state: 'connecting' };
  /** The name of the node that serves this page, if there are several. */
  node = undefined;
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

    // The stream was lost. The session continues, and the client repeats what does not arrive: there is nothing to do.
    client.addEventListener('disconnect', () => this.#setLine({ state: 'lost' }));
    client.addEventListener('reconnect', () => this.#return());

    // The server has lost the session, because it was restarted or this page was suspended for too long.
    // The client opens a new session and reports the messages that were not acknowledged in the old one.
    // The server sends a new snapshot.
    client.addEventListener('sessionlost', ({ unacknowledged }) => {
      this.#keep(unacknowledged);
      this.#introduce();
      this.#setLine({ state: 'lost' });
      client.addEventListener('open', () => this.#return(), { once: true });
    });

    client.addEventListener('close', ({ reason, unacknowledged }) => {
      this.#keep(unacknowledged);
      this.#setLine({ state: 'closed', reason: reason || 'The server closed the session' });
    });
  }

  get isFlowing() {
    return this.line.state === 'open' || this.line.state === 'back';
  }

  get bytesWaiting() {
    return this.#client.bufferedAmount;
  }

  /** Adds a line or a chat message: shows it immediately, and sends it. */
  commit(fields) {
    const message = { ...fields, n: ++this.#lastNumber };
    this.pending.push({ message, ink: this.#me.ink });
    if (this.line.state !== 'closed') this.#send(message);
    this.#on.change();
  }

  /** Sends the position of the pen. An old position is useless, so it is dropped while disconnected. */
  point(at) {
    if (this.isFlowing) this.#send({ type: 'cursor', at });
  }

  /** Kills the node that serves this page, to show that nothing is lost. */
  killNode() {
    this.#send({ type: 'kill', node: this.node });
  }

  sayHello() {
    const { key, page, name, ink } = this.#me;
    if (this.line.state !== 'closed') this.#send({ type: 'hello', key, page, name, ink });
  }

  /** Returns the pending messages of a type in the form that they will have as entries. */
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

  // Drops the messages that the server acknowledged in the old session: they reached its log.
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
    else if (message.type === 'snapshot') this.#start(message);
    else if (message.type === 'you') this.#identify(message);
    else if (message.type === 'cursor') this.#on.cursor(message.by, message.at);
    this.#on.change();
  }

  // A node sends the board when it opens a session or takes a session over.
  #start({ board, node }) {
    this.board = new Board(board);
    this.node = node;
    const own = this.board.chat.filter((entry) => this.#isOwn(entry));
    this.#drop(new Set(own.map(({ n }) => n)));
    this.audit.startAfter(this.board.seq);
    this.#on.snapshot();
  }

  #identify({ id, ink, received }) {
    Object.assign(this.#me, { id, ink });
    this.pending = this.pending.filter(({ message }) => message.n > received);
    this.#on.identified();
  }

  #apply(entry) {
    this.audit.check(entry);
    this.board.apply(entry);
    if (this.#isOwn(entry)) this.#drop(new Set([entry.n]));
    this.#on.entry(entry);
  }

  // Whether this page has sent the entry: another page of the same person numbers its own entries.
  #isOwn({ by, page }) {
    return by === this.#me.id && page === this.#me.page;
  }

  #drop(numbers) {
    this.pending = this.pending.filter(({ message }) => !numbers.has(message.n));
  }

  #return() {
    const waited = this.pending.length;
    this.#setLine({ state: 'back', waited, upTo: this.#lastNumber, since: Date.now() });
  }

  #setLine(line) {
    this.line = line;
    this.#on.change();
  }
}
