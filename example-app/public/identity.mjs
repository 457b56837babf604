const MANNERS = ['Quiet', 'Brisk', 'Amber', 'Gentle', 'Bold', 'Merry', 'Nimble', 'Sunny'];
const BIRDS = ['Heron', 'Wren', 'Finch', 'Plover', 'Swift', 'Avocet', 'Lark', 'Curlew'];

const pick = (list) => list[Math.floor(Math.random() * list.length)];

export const toRandomName = () => `${pick(MANNERS)} ${pick(BIRDS)}`;

/** What a page proves with, after its session was lost, that it is the same page. */
export function toRandomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// Where the browser keeps no storage for this site, the page works and remembers nothing.
export function recall(name) {
  try {
    return JSON.parse(localStorage.getItem(`sketch-board:${name}`));
  } catch {
    return null;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(`sketch-board:${name}`, JSON.stringify(value));
  } catch {
    // as above
  }
}
