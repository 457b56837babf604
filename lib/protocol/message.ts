/**
 * A message as it travels on a stream, in one line: JSON; or {@link BINARY_MARK} and base64; or {@link TEXT_MARK}
 * and a string as it is. No JSON begins with one of the marks.
 */
export type EncodedMessage = string;

/** Begins a message of bytes. Base64 follows [RFC 4648 §4]. */
export const BINARY_MARK = '=';

/** Begins a message that is a string without line breaks and surrogates. */
export const TEXT_MARK = "'";

/** Whether an encoded message is JSON, which every client understands. */
export function isJson(message: EncodedMessage): boolean {
  const first = message[0];
  return first !== BINARY_MARK && first !== TEXT_MARK;
}

/**
 * Serialises a message.
 *
 * @throws TypeError if the message has no JSON form: `undefined`, a function, a symbol, a BigInt, or a
 * cyclic object.
 */
export function toJson(message: unknown): string {
  // The type that TypeScript declares for `JSON.stringify` omits undefined.
  const json = JSON.stringify(message) as string | undefined;
  if (!json) throw new TypeError(`cannot send: ${typeof message} has no JSON form`);
  return json;
}

/** Returns the bytes of an ArrayBuffer or of a view, without a copy, and undefined for any other value. */
export function bytesOf(value: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  return isOfClass(value, 'ArrayBuffer') ? new Uint8Array(value as ArrayBuffer) : undefined;
}

/** Whether a value is a Blob or a File, whose bytes can only be read asynchronously. */
export function isBlob(value: unknown): boolean {
  return isOfClass(value, 'Blob') || isOfClass(value, 'File');
}

/** Whether a value is an instance of a class of the platform, even if it was created in another window. */
function isOfClass(value: unknown, name: string): boolean {
  return typeof value === 'object' && Object.prototype.toString.call(value) === `[object ${name}]`;
}
