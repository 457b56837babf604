import { setTimeout as sleep } from 'node:timers/promises';
import { pageOf } from './log.mjs';

const ENTRIES = 'sketch-board:{log}';
const NUMBERS = 'sketch-board:{log}:numbers'; // the number of the last entry of each page
const LAST = 'sketch-board:{log}:last';
const RETRY_DELAY = 500; // ms
const WAITING_TIME = 5000; // ms

// Redis runs this as one step, so that two nodes cannot number the same entry, or two entries alike.
const APPEND = `
if ARGV[1] ~= '' then
  if tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0) >= tonumber(ARGV[2]) then return end
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
end
redis.call('XADD', KEYS[1], redis.call('INCR', KEYS[3]) .. '-0', 'entry', ARGV[3])`;

/** The log of the board for several nodes: a stream in Redis, to which all nodes append, and which all nodes read. */
export class RedisLog {
  onentry = () => {};
  #client;
  #reader;
  #last = 0;
  #isClosed = false;

  constructor(client) {
    this.#client = client;
    this.#reader = client.duplicate(); // A read that waits for entries blocks its connection.
    this.#reader.on('error', ({ message }) => console.error(message));
  }

  /** Reads the entries that exist, and then each new one. */
  async open() {
    await this.#reader.connect();
    await this.#read();
    void this.#follow();
  }

  close() {
    this.#isClosed = true;
    this.#reader.destroy();
  }

  /** Adds an entry. An entry that a page has sent before is ignored, so that the command may be repeated. */
  async append(entry) {
    const page = entry.n === undefined ? '' : pageOf(entry);
    const fields = [page, String(entry.n ?? 0), JSON.stringify(entry)];
    await this.#retry(() =>
      this.#client.eval(APPEND, { keys: [ENTRIES, NUMBERS, LAST], arguments: fields }),
    );
  }

  async lastOf(author) {
    return Number((await this.#client.hGet(NUMBERS, pageOf(author))) ?? 0);
  }

  async #follow() {
    while (!this.#isClosed) await this.#retry(() => this.#read({ BLOCK: WAITING_TIME }));
  }

  /** Reads the entries after the last one. */
  async #read(options) {
    const streams = await this.#reader.xRead({ key: ENTRIES, id: `${this.#last}-0` }, options);
    for (const { id, message } of streams?.[0].messages ?? []) {
      this.#last = Number.parseInt(id, 10);
      this.onentry({ seq: this.#last, ...JSON.parse(message.entry) });
    }
  }

  /** Repeats a command until Redis has answered it. */
  async #retry(command) {
    while (!this.#isClosed) {
      try {
        return await command();
      } catch (error) {
        if (this.#isClosed) return;
        console.error(error.message);
        await sleep(RETRY_DELAY);
      }
    }
  }
}
