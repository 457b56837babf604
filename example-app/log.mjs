/** Returns the name of an author's page. Each page numbers its own entries. Entries of the server have no number. */
export const pageOf = ({ by, page }) => `${by}/${page}`;

const MAX_PAGES = 1000;

/**
 * The log of the board: it numbers entries and passes each to `onentry`, in the order of the numbers. This class is for
 * a single server process. The class in `redis-log.mjs` has the same interface.
 */
export class MemoryLog {
  onentry = () => {};
  #last = 0;
  #numbers = new Map(); // the number of the last entry of each page

  open() {}

  close() {}

  /** Adds an entry. An entry that a page has sent before is ignored. */
  append(entry) {
    if (entry.n !== undefined) {
      if (entry.n <= this.lastOf(entry)) return;
      this.#setLast(pageOf(entry), entry.n);
    }
    this.onentry({ seq: ++this.#last, ...entry });
  }

  /** Returns the number of the last entry of a page. */
  lastOf(author) {
    return this.#numbers.get(pageOf(author)) ?? 0;
  }

  #setLast(page, n) {
    this.#numbers.delete(page); // Keeps the map in the order of the last entries: the oldest page is first.
    this.#numbers.set(page, n);
    if (this.#numbers.size > MAX_PAGES) this.#numbers.delete(this.#numbers.keys().next().value);
  }
}
