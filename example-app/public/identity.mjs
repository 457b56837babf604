const ADJECTIVES = ['Quiet', 'Brisk', 'Amber', 'Gentle', 'Bold', 'Merry', 'Nimble', 'Sunny'];
const BIRDS = ['Heron', 'Wren', 'Finch', 'Plover', 'Swift', 'Avocet', 'Lark', 'Curlew'];

const pick = (list) => list[Math.floor(Math.random() * list.length)];

export const toRandomName = () => `${pick(ADJECTIVES)} ${pick(BIRDS)}`;

/** Returns a secret key. It identifies the page again after its session was lost. */
export function toRandomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// If the browser blocks storage for this site, the page works without remembering anything.
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
    // Storage is blocked.
  }
}
