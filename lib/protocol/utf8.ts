/**
 * Returns the length of `text` in bytes of UTF-8. A lone surrogate counts as U+FFFD, 3 bytes, which
 * is what encoders write for it.
 */
export function utf8Length(text: string): number {
  let length = 0;
  for (const character of text) {
    const codePoint = character.codePointAt(0) ?? 0;
    length += codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;
  }
  return length;
}
