/** Methods of `Uint8Array` that only recent platforms have [ECMAScript 2026]. */
interface NativeBase64 {
  fromBase64?(text: string): Uint8Array<ArrayBuffer>;
  prototype: { toBase64?: (this: Uint8Array) => string };
}

const native = Uint8Array as unknown as NativeBase64;

/** Bytes per call of `String.fromCharCode`, since the number of arguments is limited. */
const CHUNK_SIZE = 8_192;

/** Encodes bytes as base64 [RFC 4648 §4]. */
export function toBase64(bytes: Uint8Array): string {
  const { toBase64: encode } = native.prototype;
  if (encode) return encode.call(bytes);
  let binary = '';
  for (let i = 0; i < bytes.length; i += CHUNK_SIZE) {
    binary += String.fromCharCode(...bytes.subarray(i, i + CHUNK_SIZE));
  }
  return btoa(binary);
}

/** Decodes base64. Returns undefined if the text is not base64. */
export function fromBase64(text: string): ArrayBuffer | undefined {
  try {
    if (native.fromBase64) return native.fromBase64(text).buffer;
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    // Many times faster than `Uint8Array.from` with a function.
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes.buffer;
  } catch {
    return undefined;
  }
}
