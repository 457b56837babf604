/**
 * Verifies exactly-once delivery. The server numbers all entries, and each page numbers its own, so each
 * number has to be one higher than the number before. Deviations are counted, not repaired.
 */
export class Audit {
  lost = 0;
  twice = 0;
  #seq = 0;
  #byPage = new Map();

  /** Continues after a snapshot, given the number of its last entry. */
  startAfter(seq) {
    this.#seq = seq;
    this.#byPage.clear();
  }

  check({ seq, by, page, n }) {
    this.#count(seq, this.#seq);
    this.#seq = seq;
    if (n === undefined) return; // an entry that the server made
    const author = `${by}/${page}`;
    if (this.#byPage.has(author)) this.#count(n, this.#byPage.get(author));
    this.#byPage.set(author, n);
  }

  #count(number, last) {
    if (number <= last) this.twice++;
    else this.lost += number - last - 1;
  }
}
