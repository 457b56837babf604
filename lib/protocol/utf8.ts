/**
 * Returns the length of `text` in bytes of UTF-8. A lone surrogate counts as U+FFFD, 3 bytes, which
 * is what encoders write for it.
 */
export function utf8Length(text: string): number {
  let length = text.length;
  for (const character of text) {
    // A character beyond U+FFFF has two code units and four bytes.
    if (character > '\x7f') length += character > '\u07ff' ? 2 : 1;
  }
  return length;
}
