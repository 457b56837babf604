/**
 * Checks the channel's word. The server numbers all entries, and each page numbers its own: each
 * number has to be one more than the one before. The page repairs nothing; it counts.
 */
export class Audit {
  lost = 0;
  twice = 0;
  #seq = 0;
  #byAuthor = new Map();

  /** A snapshot comes with the number of the last entry in it. */
  startAfter(seq) {
    this.#seq = seq;
    this.#byAuthor.clear();
  }

  check({ seq, by, n }) {
    this.#count(seq, this.#seq);
    this.#seq = seq;
    if (n === undefined) return; // the server's own entries
    if (this.#byAuthor.has(by)) this.#count(n, this.#byAuthor.get(by));
    this.#byAuthor.set(by, n);
  }

  #count(number, last) {
    if (number <= last) this.twice++;
    else this.lost += number - last - 1;
  }
}
