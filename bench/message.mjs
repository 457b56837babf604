/**
 * Ends each message, and appears nowhere else in the bytes that any peer sends. A client can therefore
 * count messages without a parser, however the bytes are split into chunks.
 */
export const MARKER = '~';

/** Returns a message whose JSON has the given number of bytes. */
export function makeMessage(n, bytes = 100) {
  const empty = JSON.stringify({ n, text: MARKER });
  return { n, text: 'x'.repeat(Math.max(0, bytes - empty.length)) + MARKER };
}

const prepared = new Map();

/** Returns one of a hundred messages made beforehand, so that a server spends no time on making them. */
export function prepareMessage(n, bytes) {
  if (!prepared.has(bytes)) {
    prepared.set(
      bytes,
      Array.from({ length: 100 }, (_, i) => makeMessage(i, bytes)),
    );
  }
  return prepared.get(bytes)[n % 100];
}
