/**
 * Ends each message, and is nowhere else in any peer's bytes: whoever counts it counts messages,
 * without a parser, wherever the bytes are cut.
 */
export const MARKER = '~';

/** A message whose JSON has so many bytes. */
export function makeMessage(n, bytes = 100) {
  const empty = JSON.stringify({ n, text: MARKER });
  return { n, text: 'x'.repeat(Math.max(0, bytes - empty.length)) + MARKER };
}
