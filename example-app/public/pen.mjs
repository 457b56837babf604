import { BOARD } from './board.mjs';

const MAX_COORDINATES = 512; // per message; the server rejects longer ones
const STEP = 10;
const LONG_STEP = 50;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Turns pointer and keyboard input on the sheet into points. The points are collected until `flush()`,
 * which the page calls once per frame. Lifting the pen flushes immediately.
 *
 * - `onpoints(points, done)`: the next part of the line that is being drawn
 * - `onmove([x, y])`: the pen moved without drawing
 * - `onneeded()`: there is something to flush
 */
export class Pen {
  #sheet;
  #on;
  #points = [];
  #down = false;
  #at = [BOARD.width / 2, BOARD.height / 2];

  constructor(sheet, handlers) {
    this.#sheet = sheet;
    this.#on = handlers;
    sheet.addEventListener('pointerdown', (event) => {
      if (!event.isPrimary || event.button !== 0) return;
      sheet.setPointerCapture(event.pointerId);
      this.#lower(this.#locate(event));
    });
    sheet.addEventListener('pointermove', (event) => {
      if (!event.isPrimary) return;
      // The browser coalesces fast movements into one event, which contains the single ones.
      const events = event.getCoalescedEvents?.() ?? [];
      for (const single of events.length > 0 ? events : [event]) this.#move(this.#locate(single));
    });
    for (const type of ['pointerup', 'pointercancel']) {
      sheet.addEventListener(type, (event) => event.isPrimary && this.#lift());
    }
    sheet.addEventListener('keydown', (event) => this.#onKey(event));
    sheet.addEventListener('blur', () => this.#lift());
  }

  get at() {
    return this.#at;
  }

  flush() {
    while (this.#points.length > 0)
      this.#on.onpoints(this.#points.splice(0, MAX_COORDINATES), false);
  }

  #locate({ clientX, clientY }) {
    const { left, top, width, height } = this.#sheet.getBoundingClientRect();
    return this.#within(
      ((clientX - left) / width) * BOARD.width,
      ((clientY - top) / height) * BOARD.height,
    );
  }

  // Rounds to tenths of a unit: finer than any screen, and short in a message.
  #within(x, y) {
    const tidy = (value, high) => Math.round(Math.min(Math.max(value, 0), high) * 10) / 10;
    return [tidy(x, BOARD.width), tidy(y, BOARD.height)];
  }

  #lower(at) {
    this.#lift();
    this.#down = true;
    this.#at = at;
    this.#points.push(...at);
    this.#on.onneeded();
  }

  #move(at) {
    if (this.#down && Math.hypot(at[0] - this.#at[0], at[1] - this.#at[1]) < 1) return;
    this.#at = at;
    if (this.#down) this.#points.push(...at);
    else this.#on.onmove(at);
    this.#on.onneeded();
  }

  #lift() {
    if (!this.#down) return;
    this.#down = false;
    this.flush();
    this.#on.onpoints([...this.#at], true);
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in ARROWS) {
      const [dx, dy] = ARROWS[event.key];
      const step = event.shiftKey ? LONG_STEP : STEP;
      this.#move(this.#within(this.#at[0] + dx * step, this.#at[1] + dy * step));
    } else if (event.key === ' ') {
      if (this.#down) this.#lift();
      else this.#lower(this.#at);
    } else {
      return;
    }
    event.preventDefault();
  }
}
