/** The size of the sheet. All coordinates use these units, independent of the screen. */
export const BOARD = { width: 1600, height: 1000 };

/** The number of inks. `style.css` defines their colours for light and dark mode. */
export const INKS = 8;

// The history is bounded. The oldest strokes are dropped in groups, because each drop redraws the sheet.
const MAX_STROKES = 2000;
const STROKES_DROPPED = 200;
const MAX_LINES = 300;
const MAX_COORDINATES = 4000; // per stroke

/**
 * The drawing, the chat and the people who are here. The server and every page have one and apply the same entries in
 * the same order, so all boards are equal. No other synchronisation is necessary.
 */
export class Board {
  /** Counts the times that strokes were removed. A canvas then has to redraw everything. */
  losses = 0;

  constructor({ seq = 0, strokes = [], open = [], chat = [], people = [] } = {}) {
    this.seq = seq;
    this.strokes = strokes;
    this.open = new Map(open.map((stroke) => [stroke.by, stroke])); // strokes in progress, by author
    this.chat = chat;
    this.people = new Map(people.map((person) => [person.id, person]));
  }

  toJSON() {
    const { seq, strokes, open, chat, people } = this;
    return { seq, strokes, open: [...open.values()], chat, people: [...people.values()] };
  }

  apply(entry) {
    this.seq = entry.seq;
    if (entry.type === 'line') this.#draw(entry);
    else if (entry.type === 'person') this.#note(entry);
    else if (entry.type === 'chat') this.#say(entry);
    else if (entry.type === 'clear') this.#clear(entry);
  }

  /** A hash of the strokes and the chat. It is equal on pages that have the same ones in the same order. */
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

  // A stroke gets its place in the order when the pen is lifted. Until then it is drawn on top of the
  // others. So two people who draw at the same time see the same picture as someone who joins later.
  #settle(by) {
    if (!this.open.has(by)) return;
    this.strokes.push(this.open.get(by));
    this.open.delete(by);
    if (this.strokes.length > MAX_STROKES) {
      this.strokes.splice(0, STROKES_DROPPED);
      this.losses++;
    }
  }

  #note({ id, page, name, ink, state }) {
    if (state !== 'gone') {
      this.people.set(id, { id, page, name, ink, state });
      return;
    }
    this.people.delete(id);
    this.#settle(id); // A line that was not finished stays on the board.
  }

  #say({ by, page, n, name, ink, at, text, note }) {
    this.chat.push({ by, page, n, name, ink, at, text, note });
    if (this.chat.length > MAX_LINES) this.chat.shift();
  }

  #clear(entry) {
    this.strokes = [];
    this.open.clear();
    this.losses++;
    this.#say({ ...entry, note: 'cleared the board' });
  }
}
