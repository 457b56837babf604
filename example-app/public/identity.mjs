const ADJECTIVES = ['Quiet', 'Brisk', 'Amber', 'Gentle', 'Bold', 'Merry', 'Nimble', 'Sunny'];
const BIRDS = ['Heron', 'Wren', 'Finch', 'Plover', 'Swift', 'Avocet', 'Lark', 'Curlew'];

const pick = (list) => list[Math.floor(Math.random() * list.length)];

export const toRandomName = () => `${pick(ADJECTIVES)} ${pick(BIRDS)}`;

/** Returns 32 random hexadecimal digits. */
export function toRandomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * Returns the secret key of the person in this tab. It is the same after a reload. Each tab has its own key, so that two
 * tabs are two people.
 */
export function recallKey() {
  const key = read(() => sessionStorage, 'key') ?? toRandomKey();
  write(() => sessionStorage, 'key', key);
  return key;
}

export const recall = (name) => read(() => localStorage, name);
export const remember = (name, value) => write(() => localStorage, name, value);

// If the browser blocks the storage of this site, the page works, but stores nothing.
function read(getStorage, name) {
  try {
    return JSON.parse(getStorage().getItem(`sketch-board:${name}`));
  } catch {
    return null;
  }
}

function write(getStorage, name, value) {
  try {
    getStorage().setItem(`sketch-board:${name}`, JSON.stringify(value));
  } catch {
    // Storage is blocked.
  }
}
