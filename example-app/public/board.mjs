/** The sheet's size in its own units: all coordinates are in these, on any screen. */
export const BOARD = { width: 1600, height: 1000 };

/** How many inks there are; `style.css` says what they look like, by day and by night. */
export const INKS = 8;

// The history is bounded. Strokes go many at a time, because each loss redraws the whole sheet.
const MAX_STROKES = 2000;
const STROKES_DROPPED = 200;
const MAX_LINES = 300;
const MAX_COORDINATES = 4000; // in one stroke

/**
 * What has been drawn and said. The server and every page hold one, and run the same entries
 * through it: equal entries in equal order make equal boards, which is all the synchronisation
 * there is.
 */
export class Board {
  /** Goes up whenever strokes disappear, so that a canvas knows it cannot just draw on. */
  losses = 0;

  constructor({ seq = 0, strokes = [], open = [], chat = [] } = {}) {
    this.seq = seq;
    this.strokes = strokes;
    this.open = new Map(open.map((stroke) => [stroke.by, stroke])); // still being drawn
    this.chat = chat;
  }

  toJSON() {
    const { seq, strokes, open, chat } = this;
    return { seq, strokes, open: [...open.values()], chat };
  }

  apply(entry) {
    this.seq = entry.seq;
    if (entry.type === 'line') this.#draw(entry);
    else if (entry.type === 'lift') this.#settle(entry.by);
    else if (entry.type === 'chat') this.#say(entry);
    else if (entry.type === 'clear') this.#clear(entry);
  }

  /** Equal on two pages when they hold the same strokes and the same chat, in the same order. */
  get fingerprint() {
    let hash = 0x811c9dc5; // FNV-1a
    for (const character of JSON.stringify([this.strokes, this.chat])) {
      hash = Math.imul(hash ^ character.codePointAt(0), 0x01000193);
    }
    return (hash >>> 0).toString(16).padStart(8, '0');
  }

  #draw({ by, ink, width, points, done }) {
    if (!this.open.has(by)) this.open.set(by, { by, ink, width, points: [] });
    const stroke = this.open.get(by);
    stroke.points.push(...points);
    if (done) {
      this.#settle(by);
    } else if (stroke.points.length >= MAX_COORDINATES) {
      this.#settle(by);
      this.open.set(by, { ...stroke, points: stroke.points.slice(-2) });
    }
  }

  // A stroke takes its place among the others when the pen is lifted. Until then it lies on top, so
  // that two people drawing at once get the same picture as someone who comes in later.
  #settle(by) {
    if (!this.open.has(by)) return;
    this.strokes.push(this.open.get(by));
    this.open.delete(by);
    if (this.strokes.length > MAX_STROKES) {
      this.strokes.splice(0, STROKES_DROPPED);
      this.losses++;
    }
  }

  #say({ by, n, name, ink, at, text, note }) {
    this.chat.push({ by, n, name, ink, at, text, note });
    if (this.chat.length > MAX_LINES) this.chat.shift();
  }

  #clear(entry) {
    this.strokes = [];
    this.open.clear();
    this.losses++;
    this.#say({ ...entry, note: 'cleared the board' });
  }
}
