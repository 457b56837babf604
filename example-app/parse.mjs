import { BOARD, INKS } from './public/board.mjs';

// Messages from pages are untrusted input. The server accepts only the types and fields that are listed
// here. It moves coordinates outside of the board to its edge, shortens texts that are too long, and
// drops everything else.

const MAX_NAME = 24;
const MAX_TEXT = 500;
const MAX_COORDINATES = 512; // per message; a page sends one message per animation frame

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const isCount = (value) => Number.isSafeInteger(value) && value > 0;
const isInk = (value) => Number.isInteger(value) && value >= 0 && value < INKS;
const isKey = (value) => typeof value === 'string' && /^[0-9a-f]{32}$/.test(value);
const toText = (value, length) => (typeof value === 'string' ? value.trim().slice(0, length) : '');

function toPoints(value) {
  if (!Array.isArray(value) || value.length === 0 || value.length % 2 === 1) return null;
  if (value.length > MAX_COORDINATES || !value.every(Number.isFinite)) return null;
  return value.map((coordinate, i) => clamp(coordinate, 0, i % 2 ? BOARD.height : BOARD.width));
}

const parsers = {
  hello({ key, page, name, ink }) {
    if (!isKey(key) || !isKey(page)) return null;
    return { key, page, name: toText(name, MAX_NAME) || 'Nobody', ink: isInk(ink) ? ink : null };
  },
  kill({ node }) {
    return typeof node === 'string' ? { node } : null;
  },
  cursor({ at }) {
    const points = toPoints(at);
    return points?.length === 2 ? { at: points } : null;
  },
  line({ n, points, width, done }) {
    const clean = toPoints(points);
    if (!isCount(n) || clean === null || !Number.isFinite(width)) return null;
    return { n, points: clean, width: clamp(width, 1, 40), done: done === true };
  },
  chat({ n, text }) {
    const clean = toText(text, MAX_TEXT);
    return isCount(n) && clean !== '' ? { n, text: clean } : null;
  },
  clear({ n }) {
    return isCount(n) ? { n } : null;
  },
};

/** Returns the message with its known fields only, or `null` if it is not valid. */
export function parse(message) {
  const type = message?.type;
  if (!Object.hasOwn(parsers, String(type))) return null;
  const fields = parsers[type](message);
  return fields && { type, ...fields };
}
